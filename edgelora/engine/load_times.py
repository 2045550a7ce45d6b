"""How long cold loads took: those whose file was read."""

from __future__ import annotations

from collections import deque

import numpy as np

from edgelora.types import LoadTimes

KEPT = 1000


class LoadLog:
    """The times of the last cold loads, and how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self._times: deque[LoadTimes] = deque(maxlen=KEPT)

    def note(self, times: LoadTimes) -> None:
        """One more."""
        self.count += 1
        self._times.append(times)

    def percentile(self, percent: float) -> LoadTimes:
        """Each part's percentile by itself; zeros before the first load."""
        if not self._times:
            return LoadTimes()
        parts = [(times.read_ms, times.prepare_ms, times.room_ms, times.copy_ms) for times in self._times]
        return LoadTimes(*np.percentile(parts, percent, axis=0).tolist())

    def total_percentile(self, percent: float) -> float:
        """The same of whole loads."""
        return float(np.percentile([times.total_ms for times in self._times], percent)) if self._times else 0.0
