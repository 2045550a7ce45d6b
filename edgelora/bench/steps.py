"""One token, again and again: under the same selection, under another each time, and in llama.cpp's own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgelora.bench.samples import StepSample, median, percentile
from edgelora.types import Progress, ReportProgress, Selection

BLOCK = 8
"""Steps of one kind in a row; the first is not counted, so that caches are those of its kind."""

Step = Callable[[Selection], StepSample]


@dataclass(frozen=True, slots=True)
class SwapTimes:
    """Medians over steps. ``swap_us`` is in microseconds and alone is not what a person waits for."""

    swap_us_p50: float
    swap_us_p95: float
    step_ms_same: float
    step_ms_after_swap: float

    @property
    def ratio(self) -> float:
        """How much longer a step takes because another selection came before it."""
        return self.step_ms_after_swap / self.step_ms_same


def interleave(
    kinds: Mapping[str, Callable[[], StepSample]], rounds: int, report: ReportProgress
) -> dict[str, list[StepSample]]:
    """``rounds`` times a block of each kind, one after the other, so that a change of the machine meets them all."""
    samples: dict[str, list[StepSample]] = {name: [] for name in kinds}
    for done in range(rounds):
        report(Progress("steps", done, rounds, "rounds"))
        for name, take in kinds.items():
            samples[name] += [take() for _ in range(BLOCK + 1)][1:]
    return samples


def swap_times(same: Sequence[StepSample], alternating: Sequence[StepSample]) -> SwapTimes:
    """What swapping costs, from steps of one selection and steps that each change it."""
    swaps = [sample.swap * 1e3 for sample in alternating]
    return SwapTimes(
        swap_us_p50=median(swaps),
        swap_us_p95=percentile(swaps, 0.95),
        step_ms_same=median([sample.total for sample in same]),
        step_ms_after_swap=median([sample.total for sample in alternating]),
    )


def alternating(step: Step, selections: Sequence[Selection]) -> Callable[[], StepSample]:
    """A step under the next of ``selections`` at every call, in turn."""
    turn = 0

    def take() -> StepSample:
        nonlocal turn
        turn = (turn + 1) % len(selections)
        return step(selections[turn])

    return take
