"""Tokens per second with one and with many sequences, and the wait for the first token after prompts."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from edgelora.bench.answering import SETTLED, answering
from edgelora.bench.pooled import run
from edgelora.bench.samples import median
from edgelora.bench.workloads import random_tokens

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from edgelora.bench.answering import AnsweringStep
    from edgelora.engine.core import EngineCore
    from edgelora.types import Selection

SEQUENCES = (1, 8, 16)
PROMPTS = {60: 15, 1000: 5}
"""Lengths in tokens, and how often each is read."""

STEPS = 48
"""Steps of each way whose time is taken."""

_PROMPT = 16  # tokens before them


@dataclass(frozen=True, slots=True)
class Throughput:
    """``tok_per_s`` of all sequences together, by their number; ``ttft_ms`` by the length of the prompt."""

    tok_per_s: dict[int, float]
    ttft_ms: dict[int, float]


Way: TypeAlias = "tuple[EngineCore, Selection]"
"""An engine of its own, and a selection whose adapters it has loaded."""


def throughputs(ways: Sequence[Way]) -> list[Throughput]:
    """Measure ``ways`` in turn, step by step, so that whatever slows the machine down meets all of them.

    Prompts that not every context can hold are left out.
    """
    ctx = min(core.base.ctx for core, _ in ways)
    rates = {count: _rates(ways, count) for count in SEQUENCES}
    waits = {length: _waits(ways, length) for length in PROMPTS if length + 1 < ctx}
    return [Throughput(_of(way, rates), _of(way, waits)) for way in range(len(ways))]


def _of(way: int, found: Mapping[int, Sequence[float]]) -> dict[int, float]:
    return {case: of_all[way] for case, of_all in found.items()}


def _waits(ways: Sequence[Way], length: int) -> list[float]:
    """Milliseconds to the first token, for each way."""
    return _middles([[_first_token_ms(*way, length) for way in ways] for _ in range(PROMPTS[length])])


def _first_token_ms(core: EngineCore, selection: Selection, length: int) -> float:
    core.forget_conversations()
    return run(core, random_tokens(length, core.base.n_vocab, seed=length), selection, max_tokens=1).total


def _rates(ways: Sequence[Way], count: int) -> list[float]:
    """Tokens per second while ``count`` answers are written, for each way."""
    for core, _ in ways:
        core.forget_conversations()
    with ExitStack() as stack:
        turns = zip(*(stack.enter_context(closing(_answers(*way, count))) for way in ways), strict=True)
        steps = [[step.whole for step in turn] for turn in islice(turns, SETTLED, SETTLED + STEPS)]
    return [count * 1e3 / middle for middle in _middles(steps)]


def _answers(core: EngineCore, selection: Selection, count: int) -> Generator[AnsweringStep]:
    return answering(core, _PROMPT, [selection] * count, SETTLED + STEPS)


def _middles(turns: Sequence[Sequence[float]]) -> list[float]:
    return [median(of_one) for of_one in zip(*turns, strict=True)]
