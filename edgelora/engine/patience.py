"""When may the pool shrink to what was used of late? Not while adapters come and go: it would be rebuilt for ever."""

from __future__ import annotations

from collections.abc import Iterable

FIRST = 32
"""Steps without a load after which the pool may shrink, so that one adapter does not pay for the rows of many."""

MOST = 4096
"""The patience at its longest, in steps."""


class Patience:
    """Counts steps without a load. Each time an adapter comes back that shrinking had dropped, patience doubles."""

    def __init__(self) -> None:
        self.steps = FIRST
        self._quiet = 0
        self._used: set[str] = set()  # since the last load, or the last time that patience was over
        self._dropped: set[str] = set()

    def note_load(self, sha256: str) -> None:
        """An adapter was copied into the pool."""
        self._quiet = 0
        if sha256 in self._dropped:
            self._dropped.clear()
            self.steps = min(2 * self.steps, MOST)

    def note_use(self, sha256: str) -> None:
        """A sequence has begun with an adapter."""
        self._used.add(sha256)

    def note_dropped(self, adapters: Iterable[str]) -> None:
        """The pool has shrunk, and these are no longer in it."""
        self._dropped = set(adapters)

    def step(self) -> set[str] | None:
        """Count one step. When it has been quiet for long enough: the adapters used since, and counting begins anew."""
        self._quiet += 1
        if self._quiet < self.steps:
            return None
        used, self._used, self._quiet = self._used, set(), 0
        return used
