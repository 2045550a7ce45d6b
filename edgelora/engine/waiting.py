"""Whose turn it is: clients take turns, and the requests of one client are first come, first served."""

from __future__ import annotations

from collections import OrderedDict, deque

from edgelora.engine.sequence import Sequence
from edgelora.errors import QueueFullError

PATIENCE = 16
"""How many may be admitted before a request that finds no room; then nobody is until it does."""


class WaitingQueue:
    """At most ``limit`` sequences that are not admitted yet, and as many in the background.

    The clients' order is that of their turns: one that comes anew, or had a request admitted, goes to the end.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._clients: OrderedDict[tuple[str, str], deque[Sequence]] = OrderedDict()
        self._background: deque[Sequence] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length + len(self._background)

    def add(self, sequence: Sequence, places: int) -> None:
        """Have it wait; as many as there are free ``places`` do not count. Raises QueueFullError."""
        length = len(self._background) if sequence.request.background else self._length
        if length >= self._limit + places:
            raise QueueFullError(
                f"{length} requests are waiting already, and no more are taken",
                "Ask again in a moment, or open the engine with a larger max_waiting.",
            )
        self._line_of(sequence).append(sequence)
        self._length += not sequence.request.background

    def remove(self, sequence: Sequence) -> None:
        """It was admitted, or has ended."""
        line = self._line_of(sequence)
        line.remove(sequence)
        self._length -= not sequence.request.background
        if not line and not sequence.request.background:
            del self._clients[sequence.client]

    def take(self, sequence: Sequence) -> None:
        """It is admitted: those whose turn came before are overtaken, and its client's next turn is the last."""
        if not sequence.request.background:
            for other in self.in_turn():
                if other is sequence:
                    break
                other.overtaken += 1
            self._clients.move_to_end(sequence.client)
        self.remove(sequence)

    def in_turn(self) -> list[Sequence]:
        """The next request of every client, in the order of their turns."""
        return [line[0] for line in self._clients.values()]

    def next_in_background(self) -> Sequence | None:
        """The first request in the background, once nothing else waits."""
        return self._background[0] if self._background and not self._clients else None

    def _line_of(self, sequence: Sequence) -> deque[Sequence]:
        if sequence.request.background:
            return self._background
        return self._clients.setdefault(sequence.client, deque())
