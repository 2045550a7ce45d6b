"""How soon somebody who was sent away should come again: when there is likely to be room."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_S = 60
_KEPT = 32


class Pace:
    """How quickly answers end while there are any, over the last few. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gaps: deque[float] = deque(maxlen=_KEPT)
        self._since = 0.0  # when the last answer ended, or the first began after a pause

    def note_begin(self, others: int) -> None:
        """An answer begins beside so many ``others``."""
        if not others:
            self._since = self._clock()

    def note_end(self) -> None:
        """One has ended."""
        now = self._clock()
        self._gaps.append(now - self._since)
        self._since = now

    def seconds(self, ends: int) -> int:
        """How long it takes until so many answers have ended, from 1 to LONGEST_S."""
        mean = sum(self._gaps) / len(self._gaps) if self._gaps else 0.0
        return min(LONGEST_S, max(1, math.ceil(ends * mean)))
