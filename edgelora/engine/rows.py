"""Who owns which rank rows of the pool. Rows need not be contiguous, so the pool never fragments."""

from __future__ import annotations

import heapq
from collections.abc import Iterable


class PoolFullError(Exception):
    """Fewer free rows than were asked for; ``missing`` more are needed."""

    def __init__(self, missing: int) -> None:
        super().__init__(missing)
        self.missing = missing


class RowAllocator:
    """``size`` rows, lowest free ones first, so that a pool with few adapters uses its low rows."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = list(range(size))

    @property
    def n_free(self) -> int:
        """How many rows nobody owns."""
        return len(self._free)

    def take(self, count: int) -> tuple[int, ...]:
        """``count`` rows, now owned by the caller. Raises PoolFullError, and then nothing is taken."""
        if count > self.n_free:
            raise PoolFullError(count - self.n_free)
        return tuple(heapq.heappop(self._free) for _ in range(count))

    def give_back(self, rows: Iterable[int]) -> None:
        """Free ``rows``, which must have been taken and not been given back."""
        for row in rows:
            heapq.heappush(self._free, row)
