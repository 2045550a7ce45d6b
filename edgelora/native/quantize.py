"""Rows of any ggml type to float32 and back, by libggml-base itself.

ggml aborts the process on lengths, types and importances that it does not expect, so everything is checked here first.
The bytes do not depend on the number of threads: rows are independent, and ctypes lets other threads run.
Source: ggml_quantize_chunk, ggml_get_type_traits and ggml_validate_row_data in ggml/src/ggml.c and ggml-quants.c of
llama.cpp.
"""

from __future__ import annotations

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import QuantizationError
from edgelora.gguf.ggml_types import GGML_TYPES, GgmlType
from edgelora.native.backend import ggml

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TYPES = {kind.name: kind for kind in GGML_TYPES.values()}
"""Every type by its name in upper case."""

_NO_WEIGHTS = frozenset({"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"})
"""Types without conversions: of activations, which have only one direction, and of numbers that are no weights."""

_NEED_IMPORTANCE = frozenset({"IQ2_XXS", "IQ2_XS", "IQ1_S"})
"""ggml_quantize_requires_imatrix."""

_WIDE = frozenset({"F32", "BF16"})
_LARGEST = float(np.finfo(np.float16).max)
"""The scales of all other types are F16 or narrower; beyond it they overflow, and some searches abort."""


class _Traits(ctypes.Structure):
    """``struct ggml_type_traits``, ggml/include/ggml.h."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
        ("from_float_ref", ctypes.c_void_p),
    )


def can_convert(type_name: str) -> bool:
    """Can rows of this type be decoded and encoded?"""
    return type_name in TYPES and type_name not in _NO_WEIGHTS


def needs_importance(type_name: str) -> bool:
    """Does encoding need to know how much each column matters?"""
    return type_name in _NEED_IMPORTANCE


def row_bytes(type_name: str, n_cols: int) -> int:
    """Bytes of one row. Raises QuantizationError where ``n_cols`` values are no whole blocks of the type."""
    kind = _kind(type_name)
    if n_cols <= 0 or n_cols % kind.block_size:
        raise QuantizationError(
            f"rows of {n_cols} values cannot be stored as {type_name}, in blocks of {kind.block_size}"
        )
    return n_cols // kind.block_size * kind.type_size


def dequantize(type_name: str, raw: NDArray[np.uint8], threads: int = 1) -> NDArray[np.float32]:
    """The values of the rows ``raw [n_rows, row_bytes]``, as float32 ``[n_rows, n_cols]``.

    Raises QuantizationError for a type without values, ValueError for an array that holds no such rows.
    """
    kind = _kind(type_name)
    _require_rows(raw, np.uint8)
    if raw.shape[1] % kind.type_size:
        raise ValueError(f"rows of {raw.shape[1]} bytes are no whole {type_name} blocks")
    n_cols = raw.shape[1] // kind.type_size * kind.block_size
    if type_name == "F32":
        return raw.view(np.float32)
    values = np.empty((len(raw), n_cols), np.float32)
    to_float = _traits(kind.id).to_float

    def convert(start: int, end: int) -> None:
        to_float(raw[start:end].ctypes.data, values[start:end].ctypes.data, (end - start) * n_cols)

    _over_rows(convert, len(raw), threads)
    return values


def quantize(
    type_name: str, values: NDArray[np.float32], threads: int = 1, importance: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """Encode the rows ``values [n_rows, n_cols]``, giving uint8 ``[n_rows, row_bytes]``.

    ``importance [n_cols]`` says how much an error in each column matters; types with a search for scales use it.
    Raises QuantizationError where the type cannot hold the values or needs an importance; ValueError for an array
    that holds no such rows or columns.
    """
    kind = _kind(type_name)
    _require_rows(values, np.float32)
    n_cols = values.shape[1]
    encoded = np.empty((len(values), row_bytes(type_name, n_cols)), np.uint8)
    _require_range(type_name, values)
    weights = _importance(type_name, importance, n_cols)
    address = None if weights is None else weights.ctypes.data
    chunk = _bound().ggml_quantize_chunk

    def convert(start: int, end: int) -> None:
        source, target = values[start:end].ctypes.data, encoded[start:end].ctypes.data
        chunk(kind.id, source, target, 0, end - start, n_cols, address)

    _over_rows(convert, len(values), threads)
    return encoded


def rows_are_valid(type_name: str, raw: NDArray[np.uint8]) -> bool:
    """Would llama.cpp accept these encoded rows: no scale that is not finite? It names a bad one on stderr."""
    _require_rows(raw, np.uint8)
    return bool(_bound().ggml_validate_row_data(_kind(type_name).id, raw.ctypes.data, raw.nbytes))


def _kind(type_name: str) -> GgmlType:
    if not can_convert(type_name):
        raise QuantizationError(f"values of the type {type_name} cannot be decoded or encoded")
    return TYPES[type_name]


def _require_rows(rows: NDArray[np.generic], dtype: type[np.generic]) -> None:
    if rows.dtype != dtype or rows.ndim != 2 or not rows.flags.c_contiguous:
        raise ValueError(f"expected contiguous rows of {dtype.__name__}, not {rows.dtype} {rows.shape}")


def _require_range(type_name: str, values: NDArray[np.float32]) -> None:
    if not values.size:
        return
    largest = max(float(values.max()), -float(values.min()))
    if not np.isfinite(largest):  # max and min pass NaN on
        raise QuantizationError(
            f"values that are not finite cannot be stored as {type_name}",
            "The base is damaged, or an adapter or its scale is far too large.",
        )
    if largest > _LARGEST and type_name not in _WIDE:
        raise QuantizationError(f"a value of size {largest:.6g} is too large for {type_name}")


def _importance(type_name: str, importance: NDArray[np.float32] | None, n_cols: int) -> NDArray[np.float32] | None:
    """The importance with a power of two taken out, since the searches of scales overflow or abort on huge numbers."""
    if importance is None:
        if needs_importance(type_name):
            raise QuantizationError(f"{type_name} needs to know how much each column matters")
        return None
    if importance.dtype != np.float32 or importance.shape != (n_cols,):
        raise ValueError(f"expected an importance of {n_cols} float32, not {importance.dtype} {importance.shape}")
    if not (np.isfinite(importance).all() and (importance >= 0).all()):
        raise QuantizationError("an importance is negative or not finite")
    scaled: NDArray[np.float32] = np.ldexp(importance, -np.frexp(importance.max())[1])
    return scaled


def _over_rows(convert: Callable[[int, int], None], n_rows: int, threads: int) -> None:
    share = -(-n_rows // max(threads, 1))
    if share == n_rows:
        convert(0, n_rows)
        return
    with ThreadPoolExecutor(threads) as pool:
        starts = range(0, n_rows, share)
        list(pool.map(convert, starts, (min(start + share, n_rows) for start in starts)))


@functools.cache
def _traits(type_id: int) -> _Traits:
    traits: _Traits = _bound().ggml_get_type_traits(type_id).contents
    return traits


@functools.cache
def _bound() -> ctypes.CDLL:
    lib = ggml()
    pointer, size, kind = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    lib.ggml_get_type_traits.restype = ctypes.POINTER(_Traits)
    lib.ggml_get_type_traits.argtypes = [kind]
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [kind, pointer, pointer, size, size, size, pointer]
    lib.ggml_validate_row_data.restype = ctypes.c_bool
    lib.ggml_validate_row_data.argtypes = [kind, pointer, ctypes.c_size_t]
    return lib
