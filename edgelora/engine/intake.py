"""Letting waiting sequences in: clients in turn. Who waits for adapters or for room is overtaken, but not for ever."""

from __future__ import annotations

from collections.abc import Callable

from edgelora.engine.admission import Admission
from edgelora.engine.scheduler import Scheduler
from edgelora.engine.sequence import Sequence
from edgelora.engine.shelf import common_prefix
from edgelora.engine.waiting import PATIENCE


class Intake:
    """Admits what waits while there are places. Nothing is tried twice before something changes.

    It calls ``begin`` for what was admitted, and what ends the sequence: ``refuse`` where it never can be, ``drop``
    where it is in the background and in the way.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        admission: Admission,
        *,
        begin: Callable[[Sequence], None],
        refuse: Callable[[Sequence, Exception], None],
        drop: Callable[[Sequence], None],
    ) -> None:
        self._scheduler, self._admission = scheduler, admission
        self._begin, self._refuse, self._drop = begin, refuse, drop
        self._open = True  # something changed, or is being read
        self._freed = 0  # how often something was given back

    def note_arrival(self) -> None:
        """A request came in, or a file was read."""
        self._open = True

    def note_freed(self) -> None:
        """Somebody gave back what others may wait for."""
        self._open = True
        self._freed += 1

    def admit(self) -> None:
        """Let in who can be, in turn; those in the background while there is nobody else."""
        if self._open:
            self._open = False
            while self._round():
                pass
        sequence = self._scheduler.waiting.next_in_background()
        if sequence and not self._scheduler.n_foreground and len(self._scheduler.running) < self._scheduler.places:
            self._try(sequence)

    def _round(self) -> bool:
        """A turn for each client. True if another round may let in more."""
        progress = False
        for sequence in self._scheduler.waiting.in_turn():
            if self._scheduler.n_foreground >= self._scheduler.places:
                return False
            if self._try(sequence):
                progress = True
            elif sequence.overtaken >= PATIENCE and sequence.blocked_at >= 0:
                return False  # it found no room, and has been overtaken enough; what frees some is for it
        return progress

    def _try(self, sequence: Sequence) -> bool:
        """Admit or refuse ``sequence``. False if it must go on waiting."""
        if sequence.blocked_at == self._freed:
            return False
        try:
            if not self._admission.is_read(sequence):
                self._open = True  # the reader keeps what is asked for again
                return False
            if not self._find_room(sequence):
                sequence.blocked_at = self._freed
                return False
        except Exception as error:
            self._refuse(sequence, error)
            return True
        self._scheduler.admit(sequence)
        self._begin(sequence)
        return True

    def _find_room(self, sequence: Sequence) -> bool:
        """Give ``sequence`` all it needs, at the cost of those in the background; one that computes the same first."""
        droppable = [] if sequence.request.background else self._scheduler.in_background
        for other in [other for other in droppable if _computes_for(other, sequence)]:
            droppable.remove(other)
            self._drop(other)
        while not self._admission.admit(sequence):
            if not droppable:
                return False
            self._drop(droppable.pop())
        return True


def _computes_for(other: Sequence, sequence: Sequence) -> bool:
    """Does ``sequence`` want most of what ``other`` has computed? Then it takes over its place in the KV cache."""
    done = other.held.tokens
    shared = common_prefix(done, list(sequence.request.tokens)) if other.selection == sequence.selection else 0
    return 0 < len(done) <= 2 * shared
