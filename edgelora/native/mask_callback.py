"""The evaluation callback in native code: its library, and the state it reads, mirrored from ``mask_callback.c``.

The library is built when edgelora is installed, where there is a compiler (hatch_build.py). Without it the callback of
:mod:`edgelora.engine.mask` in Python does the same.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from edgelora.native import layout

SOURCE = Path(__file__).with_name("mask_callback.c")
LIBRARY = Path(__file__).with_name("libmask_callback.so")

WRONG_ROWS, WRONG_COLUMNS = 1, 2

Visit = ctypes.CFUNCTYPE(None, ctypes.c_uint64)


class Watched(ctypes.Structure):
    """An A tensor by address, the kind of mask for its product, and whether it belongs to experts."""

    _fields_ = (("tensor", ctypes.c_uint64), ("kind", ctypes.c_int32), ("routed", ctypes.c_int32))


class Masks(ctypes.Structure):
    """Addresses of masks by kind, each f32 ``[n_rows, n_columns]``."""

    _fields_ = (("n_rows", ctypes.c_int64), ("by_kind", ctypes.POINTER(ctypes.c_void_p)))


class State(ctypes.Structure):
    """Everything the callback knows. What it points to must be kept alive by whoever sets it."""

    _fields_ = (
        ("ne", ctypes.c_uint64),
        ("src0", ctypes.c_uint64),
        ("data", ctypes.c_uint64),
        ("table", ctypes.POINTER(Watched)),
        ("table_mask", ctypes.c_uint64),
        ("tokens", Masks),
        ("outputs", Masks),
        ("n_columns", ctypes.c_int64),
        ("visit", Visit),
        ("n_applied", ctypes.c_int64),
        ("error", ctypes.c_int64),
        ("found", ctypes.c_int64),
    )


def new_state() -> State:
    """A state that watches nothing, with the offsets that :func:`edgelora.native.layout.check` has verified."""
    state = State(ne=layout.NE, src0=layout.SRC0, data=layout.DATA)
    watch(state, {})
    return state


def watch(state: State, tensors: Mapping[int, tuple[int, bool]]) -> None:
    """Have products of these A tensors masked, given by address with (kind of mask, belongs to experts)."""
    size = 1 << (4 * len(tensors) + 1).bit_length()  # a quarter full, so that looking up is one comparison
    table = (Watched * size)()
    for tensor, (kind, routed) in tensors.items():
        at = tensor >> 4
        while table[at % size].tensor:
            at += 1
        table[at % size] = Watched(tensor, kind, routed)
    state.table, state.table_mask = table, size - 1


@functools.cache
def load(library: Path = LIBRARY) -> Callable[..., bool] | None:
    """The callback as a ctypes function; None where it was not built, or from a source that has changed since."""
    try:
        lib = ctypes.CDLL(str(library))
        source = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(lib, "edgelora_mask_source")))
        if source.decode() != hashlib.sha256(SOURCE.read_bytes()).hexdigest():
            return None
        return lib.edgelora_mask_callback
    except (OSError, ValueError):
        return None
