"""Steps in which several answers are written at once, each taking one token further."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from edgelora.bench.workloads import random_tokens
from edgelora.engine.batching import DETACH_AFTER
from edgelora.errors import EngineError
from edgelora.types import Failed, Finished, Request, SamplingParams, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.engine.core import EngineCore

SETTLED = DETACH_AFTER + 8
"""Steps after which the engine has fitted its pool to what is used."""

PATIENCE = 10
"""How many more steps may be needed than are counted: prompts are read, answers end early."""

_IDS = count(1)


@dataclass(frozen=True, slots=True)
class AnsweringStep:
    """Milliseconds: ``computed`` is choosing adapters and computing, ``whole`` also sampling and bookkeeping."""

    computed: float
    whole: float


def answering_steps(
    core: EngineCore, prompt_tokens: int, selections: Sequence[Selection], warm_up: int, steps: int
) -> list[AnsweringStep]:
    """Write one answer under each of ``selections``, greedily, and time ``steps`` steps after ``warm_up`` others.

    Only steps in which every answer gets one token count. An answer that ends early is followed by another one.
    Raises EngineError where they do not all run at once, and what a request fails with.
    """
    running = {_submit(core, prompt_tokens, selection, warm_up + steps): selection for selection in selections}
    taken: list[AnsweringStep] = []
    patience = PATIENCE * (warm_up + steps)
    while len(taken) < warm_up + steps:
        patience -= 1
        if patience < 0:
            raise EngineError(f"{len(selections)} answers do not run at once here", "Choose a larger --ctx.")
        began = time.perf_counter()
        events = core.step()
        whole = time.perf_counter() - began
        for event in events:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                selection = running.pop(event.request)
                running[_submit(core, prompt_tokens, selection, warm_up + steps)] = selection
        if core.times.n_tokens == len(selections):
            taken.append(AnsweringStep((core.times.mask + core.times.decode) * 1e3, whole * 1e3))
    for request in running:
        core.cancel(request)
    while core.busy:
        core.step()
    return taken[warm_up:]


def _submit(core: EngineCore, prompt_tokens: int, selection: Selection, max_tokens: int) -> str:
    number = next(_IDS)
    prompt = random_tokens(prompt_tokens, core.base.n_vocab, seed=number)
    request = Request(f"answering-{number}", prompt, selection, SamplingParams(max_tokens, temperature=0.0))
    core.submit(request)
    return request.id
