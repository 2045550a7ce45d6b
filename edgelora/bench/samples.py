"""Times of steps, and what is said about many of them."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class StepSample:
    """One decode, in milliseconds: ``swap`` is choosing the adapters, ``decode`` the computing after it."""

    swap: float
    decode: float

    @property
    def total(self) -> float:
        """What the step took."""
        return self.swap + self.decode


def median(values: Sequence[float]) -> float:
    """The middle of ``values``; not a number where there are none."""
    return statistics.median(values) if values else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of ``values`` do not exceed."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
