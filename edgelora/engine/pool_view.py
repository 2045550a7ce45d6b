"""Whose rows of the pool the graph sees: everybody's, or only those of the adapters that were used of late.

A step multiplies with every row that the graph sees, whoever owns it. Seeing fewer takes a copy of these and a new
graph, and so is done once the rows that nobody used have cost as much since the last change (the ski rental problem).
So copies never cost more than what would have been computed in vain without them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet

from edgelora.engine.pool_rows import rounded
from edgelora.engine.working_set import WorkingSet

TOKEN_COST = 1 / 8
"""What one token takes with a row, in units of what a step takes to read the row: 2.5 and 19 µs seen."""

COPY_COST = 6
"""What copying a row takes, in the same unit: 0.12 ms seen."""

GRAPH_COST = 300
"""What a new graph takes, in the same unit: 6 ms seen."""


class PoolView:
    """Begins with everybody. ``n_rows`` tells how many rows adapters have, ``can_copy`` whether there is memory."""

    def __init__(self, n_rows: Callable[[Collection[str]], int], can_copy: Callable[[int], bool]) -> None:
        self.adapters: AbstractSet[str] | None = None
        """Whose rows the graph sees; None: everybody's."""
        self._n_rows, self._can_copy = n_rows, can_copy
        self._used = WorkingSet()
        self._in_vain = 0.0

    def step(self, needed: AbstractSet[str], n_tokens: int, *, seen: int, whole: int) -> bool:
        """One step, whose ``n_tokens`` run under the ``needed`` adapters. Must the graph see something else for it?

        It sees ``seen`` rows now, of ``whole``.
        """
        self._used.step(needed)
        is_missing = self.adapters is not None and not needed <= self.adapters
        seen = whole if is_missing else seen
        used = self._used.adapters
        rows = rounded(self._n_rows(used))
        self._in_vain += max(0, seen - rows) * (1 + TOKEN_COST * n_tokens)
        is_worth_it = 2 * rows <= seen and self._in_vain >= COPY_COST * rows + GRAPH_COST
        if used and is_worth_it and self._can_copy(rows):
            self.adapters = used
        elif is_missing:
            self.adapters = None
        else:
            return False
        self._in_vain = 0.0
        return True

    def forget(self, adapter: str) -> None:
        """It is no longer resident; should it come back, its rows are others."""
        self._used.forget(adapter)
        if self.adapters is not None:
            self.adapters -= {adapter}
