"""The pool's factors, and what of them llama.cpp's graph sees: all rows, or a compact copy of some.

The memory is ours; the tensors of llama.cpp's adapter are made to describe it, which a graph finds when it is built the
next time. A graph multiplies with every row that it sees, whoever owns it. While only a few are in use, the tensors
describe a copy of these; the rows themselves stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgelora.engine.factors import FloatArray
from edgelora.engine.pool_file import Shape, factor_shapes, rank_axis
from edgelora.engine.pool_rows import Rows, read_rows
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.gguf.header import TensorInfo
from edgelora.native import layout

ALIGNMENT = 64
"""Bytes; a cache line, and more than ggml asks for (``GGML_MEM_ALIGN``, ggml.h)."""


@dataclass(frozen=True, slots=True)
class Matrices:
    """The factors of one base tensor as llama.cpp's tensors describe them, and A with its rows on the first axis."""

    stored_a: FloatArray
    b: FloatArray
    a: FloatArray


class PoolTensors:
    """Factors by base tensor name: those that the architecture's graph multiplies with, of ``rows`` rows of zeros.

    ``pointers`` are the addresses of llama.cpp's tensors by name. Raises MemoryError.
    """

    def __init__(
        self, pointers: Mapping[str, int], infos: Mapping[str, TensorInfo], rows: int, dtype: np.dtype[np.floating]
    ) -> None:
        self._pointers, self._infos, self._dtype = pointers, infos, dtype
        names = [name for name in infos if {name + LORA_A, name + LORA_B} <= pointers.keys()]
        self.whole = {name: self._zeros(name, rows) for name in names}
        self._copies: dict[str, Matrices] = {}

    def address(self, name: str) -> int:
        """Where llama.cpp has the A tensor of the base tensor ``name``."""
        return self._pointers[name + LORA_A]

    def take_over(self, former: PoolTensors, rows: Rows) -> None:
        """Move ``rows`` of ``former``, which has nothing afterwards, to the first rows of these tensors.

        There is never more than one tensor twice.
        """
        for name in list(former.whole):
            theirs, ours = former.whole.pop(name), self.whole.get(name)
            if ours:
                read_rows(theirs.a, theirs.b, rows, ours.a[: len(rows)], ours.b[..., : len(rows)])

    def show(self, rows: Rows | None) -> None:
        """Have the next graph that is built see only ``rows``, in a copy, or all with None."""
        copies = {} if rows is None else {name: self._copy(name, rows) for name in self.whole}
        for name, matrices in (copies or self.whole).items():
            layout.point_to(self._pointers[name + LORA_A], matrices.stored_a)
            layout.point_to(self._pointers[name + LORA_B], matrices.b)
        self._copies = copies  # they live as long as the tensors describe them

    def _copy(self, name: str, rows: Rows) -> Matrices:
        whole, copy = self.whole[name], self._zeros(name, len(rows))
        read_rows(whole.a, whole.b, rows, copy.a, copy.b)
        return copy

    def _zeros(self, name: str, rows: int) -> Matrices:
        shapes = factor_shapes(name, self._infos[name], rows)
        a, b = _aligned_zeros(shapes.a, self._dtype), _aligned_zeros(shapes.b, self._dtype)
        return Matrices(a, b, np.moveaxis(a, rank_axis(name), 0))


def _aligned_zeros(shape: Shape, dtype: np.dtype[np.floating]) -> FloatArray:
    """Memory that nobody has written to takes none of the machine's."""
    n_bytes = math.prod(shape) * dtype.itemsize
    memory = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    array: FloatArray = memory[start : start + n_bytes].view(dtype).reshape(shape)
    return array
