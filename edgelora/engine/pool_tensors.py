"""The pool's tensors in llama.cpp's memory, and what of them its graph sees: all rows, or a compact copy of some.

A graph multiplies with every row that it sees, whoever owns it. While only a few are in use, the tensors are made to
describe a copy of these rows; llama.cpp finds that when it builds its graph the next time. Nothing else changes, and
the rows themselves stay where they are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgelora.engine.factors import FloatArray
from edgelora.engine.pool_file import FactorShapes, Shape, factor_shapes, rank_axis
from edgelora.engine.pool_rows import Rows, read_rows
from edgelora.errors import EngineError
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.gguf.header import TensorInfo
from edgelora.native import layout


@dataclass(frozen=True, slots=True)
class Matrices:
    """The factors of one base tensor as llama.cpp holds them, and A with its rows on the first axis."""

    stored_a: FloatArray
    b: FloatArray
    a: FloatArray


class PoolTensors:
    """Factors by base tensor name: those that the graph of this architecture multiplies with.

    ``pointers`` are the addresses of llama.cpp's tensors by name. Raises EngineError for one of another shape.
    """

    def __init__(
        self, pointers: Mapping[str, int], infos: Mapping[str, TensorInfo], rows: int, dtype: np.dtype[np.floating]
    ) -> None:
        self._pointers, self._infos, self._dtype = pointers, infos, dtype
        names = [name for name in infos if {name + LORA_A, name + LORA_B} <= pointers.keys()]
        self.whole = {name: self._in_place(name, rows) for name in names}
        self._copies: dict[str, Matrices] = {}

    def address(self, name: str) -> int:
        """Where llama.cpp has the A tensor of the base tensor ``name``."""
        return self._pointers[name + LORA_A]

    def show(self, rows: Rows | None) -> None:
        """Have the next graph that is built see only ``rows``, in a copy, or all with None."""
        copies = {} if rows is None else {name: self._copy(name, rows) for name in self.whole}
        for name, matrices in (copies or self.whole).items():
            layout.point_to(self._pointers[name + LORA_A], matrices.stored_a)
            layout.point_to(self._pointers[name + LORA_B], matrices.b)
        self._copies = copies  # they live as long as the tensors describe them

    def _copy(self, name: str, rows: Rows) -> Matrices:
        shapes, whole = factor_shapes(name, self._infos[name], len(rows)), self.whole[name]
        copy = _matrices(name, np.empty(shapes.a, self._dtype), np.empty(shapes.b, self._dtype))
        read_rows(whole.a, whole.b, rows, copy.a, copy.b)
        return copy

    def _in_place(self, name: str, rows: int) -> Matrices:
        shapes: FactorShapes = factor_shapes(name, self._infos[name], rows)
        return _matrices(name, self._array(name + LORA_A, shapes.a), self._array(name + LORA_B, shapes.b))

    def _array(self, name: str, shape: Shape) -> FloatArray:
        tensor = self._pointers[name]
        actual = tuple(layout.read_i64(tensor + layout.NE + 8 * i) for i in reversed(range(len(shape))))
        if actual != shape:
            raise EngineError(f"the pool tensor {name} is {actual}, not {shape}")
        size = int(np.prod(shape)) * self._dtype.itemsize
        memory = (ctypes.c_uint8 * size).from_address(layout.read_pointer(tensor + layout.DATA))
        array: FloatArray = np.frombuffer(memory, self._dtype).reshape(shape)  # type: ignore[call-overload]
        return array


def _matrices(name: str, a: FloatArray, b: FloatArray) -> Matrices:
    return Matrices(a, b, np.moveaxis(a, rank_axis(name), 0))
