"""Tokens per second with one and with many sequences, and the wait for the first token after prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.bench.answering import SETTLED, answering_steps
from edgelora.bench.pooled import run
from edgelora.bench.samples import median
from edgelora.bench.workloads import random_tokens

if TYPE_CHECKING:
    from edgelora.engine.core import EngineCore
    from edgelora.types import Selection

SEQUENCES = (1, 8, 16)
PROMPTS = (60, 1000)
REPEATS = 3

STEPS = 24
"""Steps whose time is taken in each repetition."""

_PROMPT = 16  # tokens before them


@dataclass(frozen=True, slots=True)
class Throughput:
    """``tok_per_s`` of all sequences together, by their number; ``ttft_ms`` by the length of the prompt."""

    tok_per_s: dict[int, float]
    ttft_ms: dict[int, float]


def throughput(core: EngineCore, selection: Selection) -> Throughput:
    """Measure ``core`` under ``selection``, whose adapters are loaded; without prompts that its context cannot hold."""
    lengths = [length for length in PROMPTS if length + 1 < core.base.ctx]
    return Throughput(
        {count: median([_rate(core, selection, count) for _ in range(REPEATS)]) for count in SEQUENCES},
        {length: median([_first_token_ms(core, selection, length) for _ in range(REPEATS)]) for length in lengths},
    )


def _first_token_ms(core: EngineCore, selection: Selection, length: int) -> float:
    core.forget_conversations()
    return run(core, random_tokens(length, core.base.n_vocab, seed=length), selection, max_tokens=1).total


def _rate(core: EngineCore, selection: Selection, count: int) -> float:
    """Tokens per second while ``count`` answers are written."""
    core.forget_conversations()
    steps = answering_steps(core, _PROMPT, [selection] * count, SETTLED, STEPS)
    return count * 1e3 / median([step.whole for step in steps])
