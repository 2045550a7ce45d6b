"""How high many things are that stand below each other, exactly or nearly, and so where each begins."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Heights:
    """Things are counted from 0. Heights are in lines; a thing is at least one line high."""

    def __init__(self) -> None:
        self._heights: list[int] = []
        self._exact: list[bool] = []
        self._ends: list[int] | None = None

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, index: int) -> int:
        return self._heights[index]

    def replace_from(self, index: int, estimates: Iterable[int]) -> None:
        """Things from ``index`` on are gone; others come instead, about this high."""
        self._heights[index:] = estimates
        self._exact[index:] = [False] * (len(self._heights) - index)
        self._ends = None

    def is_exact(self, index: int) -> bool:
        """Whether the height of a thing is known."""
        return self._exact[index]

    def learn(self, index: int, height: int) -> bool:
        """A thing is exactly this high; gives whether that is another height than before."""
        self._exact[index] = True
        changed = self._heights[index] != height
        if changed:
            self._heights[index] = height
            self._ends = None
        return changed

    @property
    def total(self) -> int:
        """All of them together."""
        return self._all_ends()[-1] if self._heights else 0

    def top(self, index: int) -> int:
        """The line that a thing begins at; for the number of things the line after all of them."""
        return self._all_ends()[index - 1] if index else 0

    def at(self, line: int) -> int:
        """The thing that a line belongs to; beyond the first and the last it is these."""
        return max(0, min(bisect_right(self._all_ends(), line), len(self) - 1))

    def _all_ends(self) -> list[int]:
        if self._ends is None:
            self._ends = list(accumulate(self._heights))
        return self._ends
