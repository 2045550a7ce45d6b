"""edgelora's own engine as a target, through the client that chat and server use."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Self

from edgelora.bench.load.target import Answered
from edgelora.engine.client import open_engine
from edgelora.errors import EngineError
from edgelora.types import BASE, Failed, Finished, Request, SamplingParams, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgelora.bench.load.workload import Job
    from edgelora.bench.subject import Subject
    from edgelora.engine.client import EngineClient
    from edgelora.types import AttestedAdapter, EngineConfig, ReportProgress, Selection


class EngineTarget:
    """An engine in a process of its own, with every adapter loaded once."""

    def __init__(self, engine: EngineClient, subjects: Sequence[Subject]) -> None:
        self._engine, self._subjects = engine, subjects
        self.name = "edgelora"
        self.n_vocab = engine.base.n_vocab

    @classmethod
    async def open(cls, config: EngineConfig, subjects: Sequence[Subject], report: ReportProgress) -> Self:
        """Open the base, and load what ``subjects`` need. Raises EdgeloraError."""
        engine = await open_engine(config, report=report)
        try:
            for subject in subjects:
                for file in subject.files:
                    await engine.load(file)
        except BaseException:
            await engine.close()
            raise
        return cls(engine, subjects)

    async def answer(self, job: Job, heard: Callable[[], None]) -> Answered:
        """Answer ``job``; what the answer is attested to be made by is compared with what was asked for."""
        selection = BASE if job.adapter is None else self._subjects[job.adapter].selection
        sampling = SamplingParams(max_tokens=job.max_tokens, temperature=0.0)
        request = Request(f"load-{job.number}", job.tokens, selection, sampling)
        async with aclosing(self._engine.generate(request)) as events:
            async for event in events:
                match event:
                    case Token():
                        heard()
                    case Failed(_, error):
                        raise error
                    case Finished():
                        return Answered(event.completion_tokens, _attested(event.adapters) != _wanted(selection))
        raise EngineError("the engine stopped before the request was finished")

    async def close(self) -> None:
        """End the engine."""
        await self._engine.close()


def _wanted(selection: Selection) -> dict[str, float]:
    return {member.adapter: member.scale for member in selection.members}


def _attested(adapters: Sequence[AttestedAdapter]) -> dict[str, float]:
    return {adapter.sha256: adapter.scale for adapter in adapters}
