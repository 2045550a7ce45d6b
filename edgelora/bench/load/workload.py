"""What is asked: prompts and adapters, the same for every target because they follow from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgelora.bench.workloads import random_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

Spread = Literal["turns", "uniform", "zipf"]
"""Which adapter a request has: each in its turn, any, or the first far more often than the last."""

ZIPF_EXPONENT = 1.1


@dataclass(frozen=True, slots=True)
class Workload:
    """``clients`` ask one after the other (closed loop), or requests arrive ``rate`` times a second (open loop).

    It ends after ``requests`` requests, or ``seconds``, whichever comes first. ``adapters`` is how many there are; with
    0 all is asked of the base. Prompts have ``prompt_tokens`` random tokens, answers at most ``max_tokens``.
    """

    clients: int = 16
    requests: int | None = 32
    seconds: float | None = None
    rate: float | None = None
    adapters: int = 0
    spread: Spread = "turns"
    prompt_tokens: int = 60
    max_tokens: int = 48
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One request: its number, the position of its adapter (None is the base), and its prompt."""

    number: int
    adapter: int | None
    tokens: tuple[int, ...]
    max_tokens: int


def jobs(workload: Workload, n_vocab: int) -> Iterator[Job]:
    """The requests in order, without end where only time ends them."""
    chosen = random.Random(workload.seed)
    weights = [1 / (rank + 1) ** ZIPF_EXPONENT for rank in range(workload.adapters)]
    number = 0
    while workload.requests is None or number < workload.requests:
        tokens = random_tokens(workload.prompt_tokens, n_vocab, seed=workload.seed * 1_000_003 + number)
        yield Job(number, _adapter(workload, number, weights, chosen), tokens, workload.max_tokens)
        number += 1


def arrivals(workload: Workload) -> Iterator[float]:
    """Seconds from one arrival to the next in an open loop: a Poisson process."""
    chosen = random.Random(workload.seed + 1)
    while True:
        yield chosen.expovariate(workload.rate or 1.0)


def _adapter(workload: Workload, number: int, weights: list[float], chosen: random.Random) -> int | None:
    if not workload.adapters:
        return None
    if workload.spread == "turns":
        return number % workload.adapters
    if workload.spread == "uniform":
        return chosen.randrange(workload.adapters)
    return chosen.choices(range(workload.adapters), weights)[0]
