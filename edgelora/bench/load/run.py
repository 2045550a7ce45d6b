"""Asks a target, with as many clients or as often as the workload says, and keeps when what arrived."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgelora.bench.load.workload import Workload, arrivals, jobs
from edgelora.bench.samples import percentile
from edgelora.errors import EdgeloraError
from edgelora.types import Progress, ReportProgress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgelora.bench.load.target import Target
    from edgelora.bench.load.workload import Job


@dataclass(slots=True)
class Sample:
    """One request: when it was sent, when pieces of its answer arrived, in seconds; tokens; or the error."""

    adapter: int | None
    sent: float
    arrived: list[float] = field(default_factory=list)
    ended: float = 0.0
    tokens: int = 0
    wrong_adapter: bool | None = None
    error: str = ""

    @property
    def ttft_ms(self) -> float | None:
        """From sending to the first piece; None where nothing came."""
        return (self.arrived[0] - self.sent) * 1e3 if self.arrived else None

    @property
    def gaps_ms(self) -> list[float]:
        """Between one piece and the next."""
        return [(b - a) * 1e3 for a, b in zip(self.arrived, self.arrived[1:], strict=False)]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A whole run. ``wrong_adapter`` is None where the target does not say what made an answer."""

    target: str
    workload: Workload
    seconds: float
    samples: tuple[Sample, ...]

    @property
    def answered(self) -> list[Sample]:
        """The requests that were answered."""
        return [sample for sample in self.samples if not sample.error]

    @property
    def tok_per_s(self) -> float:
        """Tokens of all answers a second."""
        return sum(sample.tokens for sample in self.answered) / self.seconds if self.seconds else 0.0

    def ttft_ms(self, share: float) -> float:
        """The time to the first token that ``share`` of the answers do not exceed."""
        return percentile([sample.ttft_ms for sample in self.answered if sample.ttft_ms is not None], share)

    def itl_ms(self, share: float) -> float:
        """The time between two pieces of an answer that ``share`` of them do not exceed."""
        return percentile([gap for sample in self.answered for gap in sample.gaps_ms], share)

    @property
    def errors(self) -> list[str]:
        """What failed requests failed with."""
        return [sample.error for sample in self.samples if sample.error]

    @property
    def wrong_adapter(self) -> int | None:
        """Answers made by another adapter than asked for."""
        said = [sample.wrong_adapter for sample in self.answered if sample.wrong_adapter is not None]
        return sum(said) if said else None


async def run_load(target: Target, workload: Workload, report: ReportProgress = ignore_progress) -> LoadResult:
    """Run ``workload`` against ``target``. A request that fails is counted, never raised."""
    waiting = jobs(workload, target.n_vocab)
    samples: list[Sample] = []
    began = time.perf_counter()

    def late() -> bool:
        return workload.seconds is not None and time.perf_counter() - began >= workload.seconds

    async def ask(job: Job) -> None:
        sample = Sample(job.adapter, time.perf_counter())
        samples.append(sample)
        await _ask(target, job, sample)
        _tell(report, workload, sum(bool(s.ended) for s in samples), time.perf_counter() - began)

    async with asyncio.TaskGroup() as tasks:
        if workload.rate is None:
            for _ in range(workload.clients):
                tasks.create_task(_client(waiting, ask, late))
        else:
            for job, pause in zip(waiting, arrivals(workload), strict=False):
                await asyncio.sleep(pause)
                if late():
                    break
                tasks.create_task(ask(job))
    return LoadResult(target.name, workload, time.perf_counter() - began, tuple(samples))


async def _client(waiting: Iterator[Job], ask: Callable[[Job], object], late: Callable[[], bool]) -> None:
    for job in waiting:  # shared by all clients: whoever is free takes the next
        if late():
            return
        await ask(job)  # type: ignore[misc]


async def _ask(target: Target, job: Job, sample: Sample) -> None:
    try:
        answered = await target.answer(job, lambda: sample.arrived.append(time.perf_counter()))
        sample.tokens, sample.wrong_adapter = answered.tokens, answered.wrong_adapter
    except EdgeloraError as error:
        sample.error = error.message
    sample.ended = time.perf_counter()


def _tell(report: ReportProgress, workload: Workload, done: int, seconds: float) -> None:
    if workload.requests is not None:
        report(Progress("load", done, workload.requests, "requests"))
    elif workload.seconds is not None:
        report(Progress("load", min(round(seconds), round(workload.seconds)), round(workload.seconds), "s"))
