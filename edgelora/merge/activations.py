"""Seeing what goes into the weights: the inputs of a base's products, through llama.cpp's evaluation callback.

A product is MUL_MAT(weight, x) or, for experts, MUL_MAT_ID(weights, x, choice); x is whole after the product was
computed (``ggml_backend_sched_compute_splits``, ggml/src/ggml-backend.cpp). Weights that read the same x (q, k and v;
gate and up) make a group, and x is looked at once for each group.
Shapes: x is f32 [n_tokens, n_in]; with experts [n_tokens, 1 or n_used, n_in] and choice i32 [n_tokens, n_used]
(``ggml_mul_mat_id``, ggml/src/ggml.c).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgelora.errors import EngineError
from edgelora.native import layout
from edgelora.native.context import EvalCallback

_PRODUCTS = frozenset({"MUL_MAT", "MUL_MAT_ID"})
_F32, _I32 = 0, 26  # enum ggml_type

Values = NDArray[np.float32]
Choice = NDArray[np.int32]


@dataclass(slots=True)
class Group:
    """The weights with one input: ``n_in`` values for each token, and ``n_experts`` matrices (0 without experts)."""

    n_in: int
    n_experts: int
    weights: list[str] = field(default_factory=list)


class Consumer(Protocol):
    """Whoever takes the inputs."""

    def __call__(self, weight: str, values: Values, choice: Choice | None) -> None:
        """Take the input of ``weight``; the arrays are llama.cpp's own memory and change when this returns."""


class Watcher:
    """Owns the callback of one context and hands the inputs of ``weights`` to a consumer. It never raises in there.

    ``groups`` is by the weight of the group that comes first in the graph, which is the one that is handed over.
    Call :meth:`begin` before each decode and :meth:`raise_error` after it.
    """

    def __init__(self, weights: Collection[str]) -> None:
        self._weights = frozenset(weights)
        self.groups: dict[str, Group] = {}
        self.consume: dict[str, Consumer] = {}  # by the first weight of a group; others are not even looked at
        self._first: dict[tuple[int, int], str] = {}  # input and choice of this graph -> first weight
        self._error: BaseException | None = None
        self.callback = EvalCallback(self._handler())

    def begin(self) -> None:
        """A new graph comes: its tensors may lie where others did."""
        self._first.clear()

    def raise_error(self) -> None:
        """Raise what went wrong in the callback since the last call."""
        error, self._error = self._error, None
        if isinstance(error, Exception):
            raise EngineError(f"the inputs of a weight cannot be read: {error}") from error
        if error:
            raise error

    def _handler(self) -> Callable[[int, bool, int | None], bool]:
        def on_node(node: int, ask: bool, user_data: int | None) -> bool:
            try:
                weight = layout.read_pointer(node + layout.SRC0)
                name = layout.name_of(weight) if weight else ""
                if ask:
                    return name in self._weights and layout.operation_of(node) in _PRODUCTS and self._is_wanted(node)
                self._hand_over(node, name)
            except BaseException as error:
                self._error = error
            return not ask  # False after a node was computed would make llama.cpp skip the rest of the graph

        return on_node

    def _is_wanted(self, node: int) -> bool:
        """Note which group the product ``node`` belongs to. Is it the first of a group that somebody consumes?"""
        weight, values, choice = (layout.read_pointer(node + at) for at in (layout.SRC0, layout.SRC1, layout.SRC2))
        name = layout.name_of(weight)
        first = self._first.setdefault((values, choice), name)
        if first not in self.groups:
            n_in, _, n_experts, _ = _extents(weight)
            self.groups[first] = Group(n_in, n_experts if choice else 0)
        if name not in self.groups[first].weights:
            self.groups[first].weights.append(name)
        return first == name and name in self.consume

    def _hand_over(self, node: int, name: str) -> None:
        values = _array(layout.read_pointer(node + layout.SRC1), np.float32, _F32)
        chosen = layout.read_pointer(node + layout.SRC2)
        if chosen:
            self.consume[name](name, values[0], _array(chosen, np.int32, _I32)[0, 0])
        else:
            self.consume[name](name, values.reshape(-1, values.shape[-1]), None)


def _extents(tensor: int) -> tuple[int, int, int, int]:
    first, second, third, fourth = (layout.read_i64(tensor + layout.NE + 8 * i) for i in range(4))
    return first, second, third, fourth


def _array(tensor: int, dtype: DTypeLike, expected_type: int) -> NDArray[Any]:
    """The memory of ``tensor``, with its four extents in numpy order and its own strides."""
    if layout.type_of(tensor) != expected_type:
        raise TypeError(f"{layout.name_of(tensor)} has the type {layout.type_of(tensor)}, not {expected_type}")
    shape = _extents(tensor)[::-1]
    strides = tuple(layout.read_i64(tensor + layout.NB + 8 * i) for i in range(4))[::-1]
    size = sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True)) + np.dtype(dtype).itemsize
    memory = (ctypes.c_char * size).from_address(layout.read_pointer(tensor + layout.DATA))
    return np.lib.stride_tricks.as_strided(np.frombuffer(memoryview(memory), dtype), shape, strides)
