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
from edgelora.engine.pool_file import FactorShapes, Shape, factor_shapes, rank_axis
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
        self._pointers, self._infos, self._rows, self._dtype = pointers, infos, rows, dtype
        names = [name for name in infos if {name + LORA_A, name + LORA_B} <= pointers.keys()]
        self.whole = {name: self._zeros(name, rows) for name in names}
        self._memory: dict[str, list[FloatArray]] = {}  # for copies: kept, because new memory costs as much as copying
        self.n_copied = 0
        """How many rows the memory for copies holds that was ever written to."""

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
        """Have the next graph that is built see only ``rows``, at most half of all, in a copy; or all with None.

        Raises MemoryError, and then nothing has changed.
        """
        if rows is not None:
            self._memory = self._memory or {name: self._for_copies(name) for name in self.whole}
            self.n_copied = max(self.n_copied, len(rows))
        for name, whole in self.whole.items():
            matrices = whole if rows is None else self._copy(name, rows)
            layout.point_to(self._pointers[name + LORA_A], matrices.stored_a)
            layout.point_to(self._pointers[name + LORA_B], matrices.b)

    def _for_copies(self, name: str) -> list[FloatArray]:
        return [_aligned_zeros(shape, self._dtype).ravel() for shape in self._shapes(name, self._rows // 2)]

    def _copy(self, name: str, rows: Rows) -> Matrices:
        whole, shapes = self.whole[name], self._shapes(name, len(rows))
        a, b = (
            memory[: math.prod(shape)].reshape(shape) for memory, shape in zip(self._memory[name], shapes, strict=True)
        )
        copy = _matrices(name, a, b)
        read_rows(whole.a, whole.b, rows, copy.a, copy.b)
        return copy

    def _zeros(self, name: str, rows: int) -> Matrices:
        return _matrices(name, *(_aligned_zeros(shape, self._dtype) for shape in self._shapes(name, rows)))

    def _shapes(self, name: str, rows: int) -> FactorShapes:
        return factor_shapes(name, self._infos[name], rows)


def _matrices(name: str, a: FloatArray, b: FloatArray) -> Matrices:
    return Matrices(a, b, np.moveaxis(a, rank_axis(name), 0))


def _aligned_zeros(shape: Shape, dtype: np.dtype[np.floating]) -> FloatArray:
    """Memory that nobody has written to takes none of the machine's."""
    n_bytes = math.prod(shape) * dtype.itemsize
    memory = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    array: FloatArray = memory[start : start + n_bytes].view(dtype).reshape(shape)
    return array
