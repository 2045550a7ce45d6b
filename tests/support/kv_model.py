"""What llama.cpp's KV cache does, as a model: every sequence's cells, with the token and the selection of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from edgelora.native.sequences import SavedState

if TYPE_CHECKING:
    from edgelora.engine.kv import Slot
    from edgelora.types import Selection

Kind = Literal["full", "windowed", "recurrent"]
Cell = tuple[int, "Selection"]

WINDOW = 4
BYTES = 8
"""Size of a saved cell."""


class ModelMemory:
    """Sequences of tokens that remember what they were computed under. ``kind`` says what they can be cut to."""

    def __init__(self, kind: Kind = "full") -> None:
        self.kind = kind
        self.held: dict[int, list[Cell]] = {}
        self.refuses = False  # to restore
        self._saved: list[list[Cell]] = []

    def forget(self, sequence: int, start: int = 0) -> bool:
        held = self.held.get(sequence, [])
        if start and self.kind == "recurrent":
            return False
        assert not start or start >= self.shortest(sequence), "what is left could not go on right"
        self.held[sequence] = held[:start]
        return True

    def shortest(self, sequence: int) -> int:
        length = len(self.held.get(sequence, []))
        if self.kind == "recurrent":
            return length
        return length - 1 if self.kind == "windowed" and length > WINDOW else 0

    def share(self, source: int, target: int, length: int) -> None:
        assert self.shortest(source) <= length <= len(self.held[source])
        self.held[target] = self.held[source][:length]

    def size(self, sequence: int) -> int:
        return BYTES * len(self.held.get(sequence, []))

    def save(self, sequence: int) -> SavedState:
        self._saved.append(list(self.held[sequence]))
        data = np.zeros(self.size(sequence), np.uint8)
        data[:4] = np.array([len(self._saved) - 1], np.int32).view(np.uint8)
        return SavedState(data, self.shortest(sequence))

    def restore(self, sequence: int, state: SavedState) -> bool:
        if self.refuses:
            self.held[sequence] = []
            return False
        self.held[sequence] = list(self._saved[int(state.data[:4].view(np.int32)[0])])
        return True

    def compute(self, slot: Slot, tokens: list[int]) -> None:
        """What the engine does with a slot."""
        self.held.setdefault(slot.sequence, []).extend((token, slot.selection) for token in tokens)
        slot.tokens.extend(tokens)
