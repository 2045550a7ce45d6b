"""Saved sequences in order of use under a budget of bytes: what the memory for parked ones and the folder share."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from edgelora.native.sequences import SavedState

_BLOCK = 64  # tokens compared at once


@dataclass(frozen=True, slots=True, eq=False)
class Parked:
    """A saved sequence: its ``tokens``, what they were computed ``under``, and how to ``load`` what was saved.

    ``shortest`` is the fewest tokens it can be cut to. ``load`` gives None where it is lost.
    """

    under: Hashable
    tokens: list[int]
    shortest: int
    n_bytes: int
    load: Callable[[], SavedState | None]

    def reusable(self, wanted: list[int]) -> int:
        """How many first tokens of ``wanted`` need not be computed with it."""
        return reusable(self.tokens, self.shortest, wanted)


class Shelf:
    """At most ``budget`` bytes of parked sequences; the least recently used ones are pushed out."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.n_bytes = 0
        self._entries: dict[Parked, None] = {}  # least recently used first
        self._under: dict[Hashable, set[Parked]] = {}

    def __contains__(self, entry: Parked) -> bool:
        return entry in self._entries

    def best(self, under: Hashable, wanted: list[int], most: int) -> tuple[Parked | None, int]:
        """The entry of at most ``most`` tokens that saves most of the computing of ``wanted``, and how many tokens."""
        entries = (entry for entry in self._under.get(under, ()) if len(entry.tokens) <= most)
        found = ((entry.reusable(wanted), -entry.n_bytes, entry) for entry in entries)
        length, _, entry = max(found, key=lambda each: each[:2], default=(0, 0, None))
        return (entry, length) if length else (None, 0)

    def covers(self, under: Hashable, tokens: list[int]) -> bool:
        """Is there one that saves all of the computing of ``tokens``? It counts as used then."""
        entry, length = self.best(under, tokens, most=2**31)
        if entry is None or length < len(tokens):
            return False
        self.touch(entry)
        return True

    def covered_by(self, entry: Parked) -> list[Parked]:
        """The entries that save nothing that ``entry`` does not save too."""
        same = self._under.get(entry.under, ())
        return [other for other in same if other is not entry and entry.reusable(other.tokens) == len(other.tokens)]

    def add(self, entry: Parked) -> list[Parked]:
        """Keep ``entry``. Returns what has no room any more, perhaps itself."""
        if entry.n_bytes > self.budget:
            return [entry]
        self._entries[entry] = None
        self._under.setdefault(entry.under, set()).add(entry)
        self.n_bytes += entry.n_bytes
        return self._pushed_out()

    def touch(self, entry: Parked) -> None:
        """``entry`` was used."""
        if entry in self._entries:
            self._entries[entry] = self._entries.pop(entry)

    def remove(self, entry: Parked) -> None:
        """Forget ``entry``, if it is there."""
        if entry in self._entries:
            del self._entries[entry]
            self.n_bytes -= entry.n_bytes
            self._under[entry.under].remove(entry)
            if not self._under[entry.under]:
                del self._under[entry.under]

    def _pushed_out(self) -> list[Parked]:
        out: list[Parked] = []
        while self.n_bytes > self.budget:
            oldest = next(iter(self._entries))
            self.remove(oldest)
            out.append(oldest)
        return out


def reusable(held: list[int], shortest: int, wanted: list[int]) -> int:
    """How many first tokens of ``wanted`` a sequence of the tokens ``held`` has that can be cut to ``shortest``."""
    length = common_prefix(held, wanted)
    return length if length >= shortest else 0


def common_prefix(left: list[int], right: list[int]) -> int:
    """How many first elements are the same in both."""
    size, start = min(len(left), len(right)), 0
    while start < size and left[start : start + _BLOCK] == right[start : start + _BLOCK]:
        start += _BLOCK
    while start < size and left[start] == right[start]:
        start += 1
    return min(start, size)
