"""Runs requests on an engine core and keeps where the time of each went."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from edgelora.bench.samples import StepSample
from edgelora.errors import EngineError
from edgelora.types import Failed, Finished, Request, SamplingParams, Selection, Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.engine.core import EngineCore

_IDS = count(1)


@dataclass(frozen=True, slots=True)
class Run:
    """One request from submission to its end. Times in milliseconds, summed over its steps.

    ``kv`` is admission: finding or making room, and reusing what is kept. ``mask`` is all that a swap itself costs.
    ``rest`` is what the others leave: sampling and bookkeeping.
    """

    finished: Finished
    text: str
    total: float
    mask: float
    kv: float
    decode: float

    @property
    def rest(self) -> float:
        """What is left of ``total``."""
        return self.total - self.mask - self.kv - self.decode


def run(core: EngineCore, tokens: Sequence[int], selection: Selection, max_tokens: int | None) -> Run:
    """Run one request alone, greedily, to its end. Raises what it failed with."""
    request = Request(f"bench-{next(_IDS)}", tuple(tokens), selection, SamplingParams(max_tokens, temperature=0.0))
    mask = kv = decode = 0.0
    text: list[str] = []
    began = time.perf_counter()
    core.submit(request)
    while core.busy:
        events = core.step()
        mask += core.times.mask
        kv += core.times.admit
        decode += core.times.decode
        for event in events:
            match event:
                case Token():
                    text.append(event.text)
                case Failed():
                    raise event.error
                case Finished():
                    total = time.perf_counter() - began
                    return Run(event, "".join(text), total * 1e3, mask * 1e3, kv * 1e3, decode * 1e3)
    raise EngineError("the engine stopped before the request was finished")


def step(core: EngineCore, tokens: Sequence[int], selection: Selection) -> StepSample:
    """Compute one more token after ``tokens``, whose KV under ``selection`` is kept but for the last one."""
    made = run(core, tokens, selection, max_tokens=1)
    return StepSample(made.mask, made.decode)
