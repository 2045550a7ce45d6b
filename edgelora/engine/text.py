"""From token bytes to text that can be shown: whole characters, nothing of a stop string."""

from __future__ import annotations

import codecs


class TextStream:
    """Collects the bytes of an answer and gives out what is safe to show.

    A character whose bytes are not all there yet is held back, and so is anything that may be the beginning of one of
    the ``stop`` strings.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = stop
        self._held = ""
        self.stopped = False

    def feed(self, data: bytes) -> str:
        """More bytes; returns the text that can be shown now. ``stopped`` is set once a stop string is complete."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(data)
        found = [at for at in (self._held.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped = True
            return self._release(min(found), 0)
        return self._release(len(self._held) - self._held_back(), self._held_back())

    def finish(self) -> str:
        """What was held back, at the end of an answer that met no stop string."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(b"", final=True)
        return self._release(len(self._held), 0)

    def _held_back(self) -> int:
        """The length of the longest end of the held text that a stop string begins with."""
        longest = max((len(stop) - 1 for stop in self._stop), default=0)
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self._stop):
                return size
        return 0

    def _release(self, upto: int, keep: int) -> str:
        text = self._held[:upto]
        self._held = self._held[upto : upto + keep]
        return text
