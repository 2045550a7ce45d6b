"""The layout of ``ggml_tensor`` in memory, and the proof that it is the one of this build.

The evaluation callback receives raw tensor pointers. Calling an accessor for each would cost more than the mask
itself, so the fields are read at their offsets; :func:`check` compares every offset with what ggml's own
functions say about a tensor made for the purpose.
Source: ``struct ggml_tensor``, ggml/include/ggml.h of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING

from edgelora.native.backend import ggml

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TYPE, NE, NB, OP, SRC0, DATA, NAME = 0, 16, 48, 80, 152, 248, 256
"""Byte offsets of type (i32), ne (i64 x 4), nb (size_t x 4), op (i32), src[0], data (pointers), name (char[64])."""

NE1, SRC1, SRC2 = NE + 8, SRC0 + 8, SRC0 + 16

_F32, _F16, _I32 = 0, 1, 26  # enum ggml_type
_OPERATIONS = 64  # fewer than ``enum ggml_op`` has, and products are among them


class _InitParams(ctypes.Structure):
    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


def read_i64(address: int) -> int:
    """The signed 64-bit integer at ``address``."""
    return ctypes.c_int64.from_address(address).value


def read_pointer(address: int) -> int:
    """The pointer at ``address``; 0 if it is NULL."""
    return ctypes.c_uint64.from_address(address).value


def name_of(tensor: int) -> str:
    """The name of the tensor at address ``tensor``."""
    return ctypes.string_at(tensor + NAME).decode("utf-8", "replace")


def type_of(tensor: int) -> int:
    """The ``enum ggml_type`` of the tensor at address ``tensor``."""
    return ctypes.c_int32.from_address(tensor + TYPE).value


def operation_of(tensor: int) -> str:
    """What computes the tensor at address ``tensor``, by ggml's own name, such as MUL_MAT; empty for rare ones."""
    number = ctypes.c_int32.from_address(tensor + OP).value
    name: bytes = _bound().ggml_op_name(number) if 0 <= number < _OPERATIONS else b""
    return name.decode()


def point_to(tensor: int, array: NDArray[np.generic]) -> None:
    """Make the tensor at address ``tensor`` describe ``array``, which must outlive that.

    The array is C-contiguous, of the tensor's type, and has as many dimensions: others keep the size 1.
    """
    ctypes.c_uint64.from_address(tensor + DATA).value = array.ctypes.data
    stride = array.itemsize
    for i, size in enumerate((*reversed(array.shape), 1, 1, 1)[:4]):
        ctypes.c_int64.from_address(tensor + NE + 8 * i).value = size
        ctypes.c_uint64.from_address(tensor + NB + 8 * i).value = stride
        stride *= size


@functools.cache
def check() -> str:
    """Compare every offset with ggml's own accessors. Returns what differs; empty when all hold."""
    lib = _bound()
    memory = 1 << 16
    context = lib.ggml_init(_InitParams(memory, None, False))
    if not context:
        return "ggml_init failed"
    try:
        weight = lib.ggml_new_tensor_2d(context, _F16, 6, 3)
        activation = lib.ggml_new_tensor_2d(context, _F32, 6, 5)
        lib.ggml_set_name(weight, b"blk.0.attn_q.weight.lora_a")
        product = lib.ggml_mul_mat(context, weight, activation)
        experts = lib.ggml_new_tensor_3d(context, _F16, 6, 3, 4)
        choice = lib.ggml_new_tensor_2d(context, _I32, 2, 5)
        routed = lib.ggml_mul_mat_id(context, experts, lib.ggml_new_tensor_3d(context, _F32, 6, 2, 5), choice)
        facts = {
            "type": type_of(weight) == _F16,
            "ne": [read_i64(weight + NE + 8 * i) for i in range(4)] == [6, 3, 1, 1],
            "ne of a product": [read_i64(product + NE + 8 * i) for i in range(2)] == [3, 5],
            "nb": [read_i64(weight + NB + 8 * i) for i in range(2)] == [2, 12],
            "op": [operation_of(tensor) for tensor in (product, routed)] == ["MUL_MAT", "MUL_MAT_ID"],
            "src": [read_pointer(product + source) for source in (SRC0, SRC1)] == [weight, activation],
            "src of a routed product": read_pointer(routed + SRC2) == choice,
            "data": read_pointer(weight + DATA) == lib.ggml_get_data(weight),
            "name": weight + NAME == lib.ggml_get_name(weight),
        }
    finally:
        lib.ggml_free(context)
    wrong = [field for field, holds in facts.items() if not holds]
    return f"ggml_tensor differs in {', '.join(wrong)}" if wrong else ""


@functools.cache
def _bound() -> ctypes.CDLL:
    lib = ggml()
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    signatures: dict[str, tuple[type | None, list[type]]] = {
        "ggml_init": (pointer, [_InitParams]),
        "ggml_free": (None, [pointer]),
        "ggml_new_tensor_2d": (pointer, [pointer, ctypes.c_int, size, size]),
        "ggml_new_tensor_3d": (pointer, [pointer, ctypes.c_int, size, size, size]),
        "ggml_mul_mat_id": (pointer, [pointer, pointer, pointer, pointer]),
        "ggml_mul_mat": (pointer, [pointer, pointer, pointer]),
        "ggml_op_name": (ctypes.c_char_p, [ctypes.c_int]),
        "ggml_set_name": (pointer, [pointer, ctypes.c_char_p]),
        "ggml_get_name": (pointer, [pointer]),
        "ggml_get_data": (pointer, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib
