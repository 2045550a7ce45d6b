"""The KV cache of a context, sequence by sequence: cut, shared, saved and restored.

What a sequence can be cut to depends on the base. Recurrent memory has one state a sequence, that of its last token. A
layer with a sliding window keeps the cells that the next token needs; llama.cpp gives the older ones to whoever needs
cells (``find_slot``, llama-kv-cache.cpp), also while its cache has full size.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from edgelora.native.context import Context
from edgelora.native.model import Model

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class SavedState:
    """What llama.cpp keeps of one sequence, u8 [n]. It can be cut to ``shortest`` tokens and not below."""

    data: Bytes
    shortest: int


class SequenceMemory:
    """The KV of ``context``'s sequences. Sequences are numbers below ``context.sequences``."""

    def __init__(self, model: Model, context: Context) -> None:
        self._context = context
        self._memory = llama_cpp.llama_get_memory(context.pointer)
        self._window = int(llama_cpp.llama_model_n_swa(model.pointer))
        self._whole_only = model.has_memory_of_its_own

    def forget(self, sequence: int, start: int = 0) -> bool:
        """Drop the KV of ``sequence`` from position ``start`` on. False if only the whole can be dropped."""
        return self._context.forget(sequence, start)

    def shortest(self, sequence: int) -> int:
        """To how few of its first tokens ``sequence`` can be cut, such that a token after them sees all it needs."""
        first, last = self._range(sequence)
        if self._whole_only:
            return last + 1
        return first + self._window - 1 if first > 0 else 0

    def share(self, source: int, target: int, length: int) -> None:
        """Make the first ``length`` tokens of ``source`` all that ``target`` holds. Cells are shared, not copied."""
        self._context.forget(target)
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def size(self, sequence: int) -> int:
        """How many bytes :meth:`save` gives for ``sequence``, which may hold nothing."""
        return int(llama_cpp.llama_state_seq_get_size(self._context.pointer, sequence))

    def save(self, sequence: int) -> SavedState | None:
        """A copy of what llama.cpp keeps of ``sequence``; None where it keeps nothing or there is no memory for it."""
        last = self._range(sequence)[1]
        size = self.size(sequence)
        if last < 0 or not size:
            return None
        try:
            data = np.empty(size, np.uint8)
        except MemoryError:
            return None
        if llama_cpp.llama_state_seq_get_data(self._context.pointer, _pointer(data), size, sequence) != size:
            return None
        # cells outside the window of the last token are not saved (llama_kv_cache::state_write)
        cut = last if self._window and last >= self._window else 0
        return SavedState(data, max(self.shortest(sequence), cut))

    def restore(self, sequence: int, state: SavedState) -> bool:
        """Give ``sequence``, whatever it held, what was saved. False, and nothing held, where llama.cpp refuses."""
        size = state.data.size
        if (
            size
            and llama_cpp.llama_state_seq_set_data(self._context.pointer, _pointer(state.data), size, sequence) == size
        ):
            return True
        self._context.forget(sequence)  # a part may have been restored before another failed
        return False

    def _range(self, sequence: int) -> tuple[int, int]:
        """The first and last position held; -1 for nothing."""
        return (
            int(llama_cpp.llama_memory_seq_pos_min(self._memory, sequence)),
            int(llama_cpp.llama_memory_seq_pos_max(self._memory, sequence)),
        )


def _pointer(data: Bytes) -> object:
    return data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
