"""The input of one decode call, as numpy arrays that llama.cpp reads in place."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import llama_cpp
import numpy as np


class Batch:
    """Room for ``capacity`` tokens, each of exactly one sequence.

    Arrays, all [capacity]: ``token`` i32, ``position`` i32, ``sequence`` i32, ``wants_logits`` i8.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.token = np.zeros(capacity, np.int32)
        self.position = np.zeros(capacity, np.int32)
        self.sequence = np.zeros(capacity, np.int32)
        self.wants_logits = np.zeros(capacity, np.int8)
        self._ones = np.ones(capacity, np.int32)
        # llama_batch wants a pointer to each token's list of sequences; each list here has one entry
        start = self.sequence.ctypes.data
        self._lists = np.arange(start, start + 4 * capacity, 4, dtype=np.uint64)
        self.native = llama_cpp.llama_batch(
            n_tokens=0,
            token=_pointer(self.token, ctypes.c_int32),
            embd=None,
            pos=_pointer(self.position, ctypes.c_int32),
            n_seq_id=_pointer(self._ones, ctypes.c_int32),
            seq_id=ctypes.cast(self._lists.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=_pointer(self.wants_logits, ctypes.c_int8),
        )

    def __len__(self) -> int:
        return int(self.native.n_tokens)

    def clear(self) -> None:
        """Forget all tokens."""
        self.native.n_tokens = 0

    def add(self, tokens: Sequence[int], *, position: int, sequence: int, logits: bool) -> int:
        """Append ``tokens`` of ``sequence`` from ``position`` on; ``logits`` asks for those of the last one.

        Returns the index of the last token, under which its logits are found after the decode.
        """
        start, stop = len(self), len(self) + len(tokens)
        if not tokens or stop > self.capacity:
            raise ValueError(f"{len(tokens)} tokens do not fit a batch with {self.capacity - start} places left")
        self.token[start:stop] = tokens
        self.position[start:stop] = np.arange(position, position + len(tokens))
        self.sequence[start:stop] = sequence
        self.wants_logits[start:stop] = 0
        self.wants_logits[stop - 1] = logits
        self.native.n_tokens = stop
        return stop - 1


def _pointer(array: np.ndarray, kind: type[ctypes.c_int32] | type[ctypes.c_int8]) -> object:
    return array.ctypes.data_as(ctypes.POINTER(kind))
