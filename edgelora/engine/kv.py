"""Which sequence of the KV cache holds which tokens, computed under which selection.

KV belongs to a selection: what was computed under one is never reused under another. Every selection of a
conversation keeps a slot of its own while room lasts, so that going back to it costs nothing; then it is parked
(:mod:`edgelora.engine.parking`). A prefix that another slot of the selection holds is shared, not computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from itertools import count
from typing import Protocol

from edgelora.engine.parking import Parking
from edgelora.engine.shelf import Parked, reusable
from edgelora.native.sequences import SavedState
from edgelora.types import KVStats, Selection


class KVMemory(Protocol):
    """What the store needs of a context: :class:`edgelora.native.sequences.SequenceMemory`."""

    def forget(self, sequence: int, start: int = 0) -> bool:
        """Drop the KV of ``sequence`` from position ``start`` on; False if only the whole can be dropped."""

    def shortest(self, sequence: int) -> int:
        """To how few of its first tokens ``sequence`` can be cut and still be continued."""

    def share(self, source: int, target: int, length: int) -> None:
        """Make the first ``length`` tokens of ``source`` all that ``target`` holds."""

    def size(self, sequence: int) -> int:
        """How many bytes :meth:`save` would give."""

    def save(self, sequence: int) -> SavedState | None:
        """A copy of what ``sequence`` holds."""

    def restore(self, sequence: int, state: SavedState) -> bool:
        """Give ``sequence`` what was saved. False, and nothing held, where that is refused."""


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence of the cache: the tokens it holds, in order, and the selection they were computed under.

    ``reserved`` cells are set aside for it while a request uses it; otherwise it occupies ``len(tokens)``. Cells that
    it shares are counted for each slot, so there may be more room than the store knows of, never less.
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


@dataclass(slots=True)
class KVCounts:
    """Requests since the engine was opened: ``hits`` found KV of theirs, ``misses`` none. ``shared`` prefixes."""

    hits: int = 0
    misses: int = 0
    shared: int = 0


class KVStore:
    """``cells`` cells, shared by ``sequences`` slots. Idle slots make room, least recently used first."""

    def __init__(self, memory: KVMemory, cells: int, sequences: int, parking: Parking | None = None) -> None:
        self._memory = memory
        self._cells = cells
        self._slots: dict[int, Slot] = {}
        self._free = list(reversed(range(sequences)))
        self._clock = count(1)
        self.parking = parking or Parking(0)
        self.counts = KVCounts()

    def acquire(
        self, selection: Selection, tokens: Sequence[int], reserve: int, *, recompute_last: bool
    ) -> Slot | None:
        """A slot for ``tokens`` under ``selection`` with ``reserve`` cells; None while there is no room for it.

        Its ``tokens`` are the prefix that need not be computed. ``recompute_last`` leaves out the last token of the
        prompt even if it is cached, because its logits are needed.
        """
        room = self._most_room()
        if reserve > room:
            return None
        wanted = list(tokens[: len(tokens) - recompute_last])
        parked, restorable = self.parking.best(selection, wanted, most=room)
        shared, sharable = self._closest(selection, wanted, self._slots.values())
        slot, kept = self._closest(selection, wanted, self._idle())
        if slot and kept >= max(restorable, sharable) and len(slot.tokens) <= 2 * kept:
            self._make_room(reserve, keep=slot)
            self._cut(slot, kept)
        else:
            slot = self._begin(selection, wanted, reserve, parked if restorable > sharable else None, shared)
        slot.reserved = max(reserve, 1)
        slot.last_used = next(self._clock)
        self.counts.hits += bool(slot.tokens)
        self.counts.misses += not slot.tokens
        return slot

    def catch_up(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Take over what another request has computed of ``tokens`` since ``slot`` was acquired for them, but not all:
        the last token is left."""
        done = len(slot.tokens)
        ahead = (other for other in self._slots.values() if other.in_use and len(other.tokens) > done)
        if done < len(tokens) - 1 and any(other.tokens[done] == tokens[done] for other in ahead):
            self._share(slot, list(tokens[:-1]))

    def release(self, slot: Slot) -> None:
        """The request is over; what the slot holds stays until the room is needed."""
        slot.reserved = 0
        slot.last_used = next(self._clock)

    def empty(self) -> None:
        """Forget what every slot holds: those in use must be computed again, others are dropped, parked ones too."""
        self.forget_idle()
        for slot in self._slots.values():
            slot.tokens.clear()

    def forget_idle(self) -> None:
        """Drop what no request uses, parked ones too."""
        self.parking.clear()
        for slot in self._idle():
            self.drop(slot)

    def park_idle(self) -> None:
        """Park what no request uses, as if all room were needed."""
        for slot in self._idle():
            self._evict(slot)

    def drop(self, slot: Slot) -> None:
        """Forget the slot and what it holds."""
        self._memory.forget(slot.sequence)
        del self._slots[slot.sequence]
        self._free.append(slot.sequence)

    def stats(self) -> KVStats:
        """What became of computed conversations."""
        parking = self.parking
        return KVStats(parking.n_bytes, parking.n_bytes_on_disk, *astuple(self.counts), *astuple(parking.counts))

    def _idle(self) -> list[Slot]:
        return [slot for slot in self._slots.values() if not slot.in_use]

    # --- what is there already

    def _closest(self, selection: Selection, wanted: list[int], slots: Iterable[Slot]) -> tuple[Slot | None, int]:
        """The slot of ``selection`` that saves most of the computing of ``wanted``, and how many tokens."""
        same = (slot for slot in slots if slot.selection == selection)
        found = [(self._reusable(slot, wanted), slot.last_used, slot) for slot in same]
        length, _, slot = max(found, key=lambda entry: entry[:2], default=(0, 0, None))
        return (slot, length) if length else (None, 0)

    def _reusable(self, slot: Slot, wanted: list[int]) -> int:
        length = reusable(slot.tokens, 0, wanted)
        return length if length and length >= self._memory.shortest(slot.sequence) else 0

    def _begin(
        self, selection: Selection, wanted: list[int], reserve: int, parked: Parked | None, shared: Slot | None
    ) -> Slot:
        """A new slot with what is known of ``wanted``: ``parked``, or else ``shared`` with another slot."""
        self._make_room(max(reserve, len(parked.tokens) if parked else 0), last=shared)
        slot = Slot(self._free.pop(), selection)
        self._slots[slot.sequence] = slot
        if not (parked and self._restore(slot, wanted, parked)):
            self._share(slot, wanted)
        return slot

    def _restore(self, slot: Slot, wanted: list[int], parked: Parked) -> bool:
        length = parked.reusable(wanted)
        state = self.parking.take(parked, keep=2 * length < len(parked.tokens))
        if state is None or not self._memory.restore(slot.sequence, state):
            self.parking.counts.lost += 1
            return False
        self.parking.counts.restored += 1
        slot.tokens = list(parked.tokens)
        self._cut(slot, length)
        return True

    def _share(self, slot: Slot, wanted: list[int]) -> None:
        others = (other for other in self._slots.values() if other is not slot)
        source, length = self._closest(slot.selection, wanted, others)
        if source is None or length <= len(slot.tokens):
            return
        self._memory.share(source.sequence, slot.sequence, length)
        slot.tokens = source.tokens[:length]
        self.counts.shared += 1

    def _cut(self, slot: Slot, length: int) -> None:
        if length == len(slot.tokens):
            return
        if not self._memory.forget(slot.sequence, length):
            self._memory.forget(slot.sequence)
            length = 0
        del slot.tokens[length:]

    # --- room

    def _most_room(self) -> int:
        """Cells that would be free if every idle slot were dropped; none where all sequences are in use."""
        in_use = [slot for slot in self._slots.values() if slot.in_use]
        if not self._free and len(in_use) == len(self._slots):
            return 0
        return self._cells - sum(slot.cells for slot in in_use)

    def _make_room(self, reserve: int, *, keep: Slot | None = None, last: Slot | None = None) -> None:
        """Evict idle slots until ``reserve`` cells are free, and a sequence unless one is kept; ``last`` last."""
        idle = [slot for slot in self._idle() if slot is not keep]
        idle.sort(key=lambda slot: (slot is last, slot.last_used), reverse=True)
        taken = sum(slot.cells for slot in self._slots.values() if slot is not keep)
        while taken + reserve > self._cells or (keep is None and not self._free):
            oldest = idle.pop()
            taken -= oldest.cells
            self._evict(oldest)

    def _evict(self, slot: Slot) -> None:
        """Drop an idle slot, parked unless another slot holds all of it."""
        others = (other for other in self._slots.values() if other is not slot)
        if self._closest(slot.selection, slot.tokens, others)[1] < len(slot.tokens):
            size = self._memory.size(slot.sequence)
            self.parking.park(slot.selection, slot.tokens, size, lambda: self._memory.save(slot.sequence))
        self.drop(slot)
