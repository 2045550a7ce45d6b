"""Which sequence of the KV cache holds which tokens, computed under which selection.

KV belongs to a selection: what was computed under one is never reused under another. Every selection of a
conversation keeps a slot of its own while room lasts, so that going back to it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from edgelora.types import Selection


class KVMemory(Protocol):
    """The part of a context that the store needs."""

    def forget(self, sequence: int, start: int = 0) -> bool:
        """Drop the KV of ``sequence`` from position ``start`` on; False if only the whole can be dropped."""


@dataclass(slots=True)
class Slot:
    """One sequence of the cache: the tokens it holds, in order, and the selection they were computed under.

    ``reserved`` cells are set aside for it while a request uses it; otherwise it occupies ``len(tokens)``.
    """

    sequence: int
    selection: Selection
    tokens: list[int] = field(default_factory=list)
    reserved: int = 0
    last_used: int = 0

    @property
    def in_use(self) -> bool:
        """Does a request use it?"""
        return self.reserved > 0

    @property
    def cells(self) -> int:
        """How many cells of the cache it takes up."""
        return max(self.reserved, len(self.tokens))


class KVStore:
    """``cells`` cells, shared by ``sequences`` slots. Idle slots make room, least recently used first."""

    def __init__(self, memory: KVMemory, cells: int, sequences: int) -> None:
        self._memory = memory
        self._cells = cells
        self._slots: dict[int, Slot] = {}
        self._free = list(reversed(range(sequences)))
        self._clock = count(1)

    def acquire(
        self, selection: Selection, tokens: Sequence[int], reserve: int, *, recompute_last: bool
    ) -> Slot | None:
        """A slot for ``tokens`` under ``selection`` with ``reserve`` cells; None while there is no room for it.

        Its ``tokens`` are the prefix that need not be computed. ``recompute_last`` leaves out the last token of the
        prompt even if it is cached, because its logits are needed.
        """
        usable = len(tokens) - recompute_last
        slot = self._best(selection, tokens[:usable])
        if not self._make_room(reserve, keep=slot):
            return None
        if slot is None:
            slot = Slot(self._free.pop(), selection)
            self._slots[slot.sequence] = slot
        self._trim(slot, common_prefix(slot.tokens, tokens[:usable]))
        slot.reserved = max(reserve, 1)
        slot.last_used = next(self._clock)
        return slot

    def release(self, slot: Slot) -> None:
        """The request is over; what the slot holds stays until the room is needed."""
        slot.reserved = 0
        slot.last_used = next(self._clock)

    def empty(self) -> None:
        """Forget what every slot holds: idle ones are dropped, those in use must be computed again."""
        for slot in list(self._slots.values()):
            if slot.in_use:
                slot.tokens.clear()
            else:
                self.drop(slot)

    def drop(self, slot: Slot) -> None:
        """Forget the slot and what it holds."""
        self._memory.forget(slot.sequence)
        del self._slots[slot.sequence]
        self._free.append(slot.sequence)

    def _best(self, selection: Selection, tokens: Sequence[int]) -> Slot | None:
        """The idle slot of this selection with the longest common prefix, if most of it can be kept.

        A slot that shares only a small part is another conversation; taking it would destroy that.
        """
        idle = [slot for slot in self._slots.values() if not slot.in_use and slot.selection == selection]
        shared = [(common_prefix(slot.tokens, tokens), slot.last_used, slot) for slot in idle]
        best = max(shared, key=lambda entry: entry[:2], default=None)
        return best[2] if best and 0 < len(best[2].tokens) <= 2 * best[0] else None

    def _make_room(self, reserve: int, keep: Slot | None) -> bool:
        idle = sorted((s for s in self._slots.values() if not s.in_use and s is not keep), key=lambda s: s.last_used)
        if sum(slot.cells for slot in self._slots.values() if slot.in_use) + reserve > self._cells:
            return False  # dropping idle ones would not help
        taken = sum(slot.cells for slot in self._slots.values() if slot is not keep)
        needs_sequence = keep is None
        while taken + reserve > self._cells or (needs_sequence and not self._free):
            if not idle:
                return False
            oldest = idle.pop(0)
            taken -= oldest.cells
            self.drop(oldest)
        return True

    def _trim(self, slot: Slot, length: int) -> None:
        if length == len(slot.tokens):
            return
        if not self._memory.forget(slot.sequence, length):
            self._memory.forget(slot.sequence)
            length = 0
        del slot.tokens[length:]


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many first elements are the same in both."""
    length = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        length += 1
    return length
