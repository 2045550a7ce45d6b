"""Steps in which several answers are written at once, each taking one token further."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING

from edgelora.bench.workloads import random_tokens
from edgelora.engine.batching import DETACH_AFTER
from edgelora.errors import EngineError
from edgelora.types import Failed, Finished, Request, SamplingParams, Selection

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from edgelora.engine.core import EngineCore
    from edgelora.types import Event

SETTLED = DETACH_AFTER + 8
"""Steps after which the engine has fitted its pool to what is used."""

PATIENCE = 200
"""Steps that may go by before one counts: prompts are read, answers end early."""

_IDS = count(1)


@dataclass(frozen=True, slots=True)
class AnsweringStep:
    """Milliseconds: ``computed`` is choosing adapters and computing, ``whole`` also sampling and bookkeeping."""

    computed: float
    whole: float


def answering_steps(
    core: EngineCore, prompt_tokens: int, selections: Sequence[Selection], warm_up: int, steps: int
) -> list[AnsweringStep]:
    """Time ``steps`` steps of :func:`answering` after ``warm_up`` others."""
    with closing(answering(core, prompt_tokens, selections, warm_up + steps)) as taken:
        return list(islice(taken, warm_up, warm_up + steps))


def answering(
    core: EngineCore, prompt_tokens: int, selections: Sequence[Selection], length: int
) -> Generator[AnsweringStep]:
    """Write one answer of up to ``length`` tokens under each of ``selections``, greedily, one step at a time.

    Only steps in which every answer gets one token are given. An answer that ends is followed by another one.
    Raises EngineError where they do not all run at once, and what a request fails with.
    """
    running = {_submit(core, prompt_tokens, selection, length): selection for selection in selections}
    try:
        while True:
            for _ in range(PATIENCE):
                began = time.perf_counter()
                events = core.step()
                whole = time.perf_counter() - began
                for request in _ended(events):
                    selection = running.pop(request)
                    running[_submit(core, prompt_tokens, selection, length)] = selection
                if core.times.n_tokens == len(selections):
                    break
            else:
                raise EngineError(f"{len(selections)} answers do not run at once here", "Choose a larger --ctx.")
            yield AnsweringStep((core.times.mask + core.times.decode) * 1e3, whole * 1e3)
    finally:
        for request in running:
            core.cancel(request)
        while core.busy:
            core.step()


def _ended(events: Iterable[Event]) -> Iterator[str]:
    for event in events:
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Finished):
            yield event.request


def _submit(core: EngineCore, prompt_tokens: int, selection: Selection, max_tokens: int) -> str:
    number = next(_IDS)
    prompt = random_tokens(prompt_tokens, core.base.n_vocab, seed=number)
    request = Request(f"answering-{number}", prompt, selection, SamplingParams(max_tokens, temperature=0.0))
    core.submit(request)
    return request.id
