"""How much of a change is still there after it was stored."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgelora.merge.grids import Floats


@dataclass(slots=True)
class Kept:
    """What was stored, along the change that was wanted: <stored - old, change> against <change, change>."""

    along: float = 0.0
    wanted: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, old: Floats, new: Floats, stored: Floats) -> None:
        """Count rows: values before, values wanted, values stored, all of the same shape. Threads may call it."""
        change = new - old
        along, wanted = float(np.vdot(stored - old, change)), float(np.vdot(change, change))
        with self._lock:
            self.along += along
            self.wanted += wanted

    def scaled(self, factor: float) -> Kept:
        """The same for ``factor`` times as many rows."""
        return Kept(self.along * factor, self.wanted * factor)

    @property
    def share(self) -> float:
        """1 if the change is stored on average, 0 if nothing of it is left; 1 where nothing was to change."""
        return self.along / self.wanted if self.wanted else 1.0


def together(parts: Iterable[Kept]) -> Kept:
    """The sum over tensors."""
    total = Kept()
    for part in parts:
        total.along += part.along
        total.wanted += part.wanted
    return total
