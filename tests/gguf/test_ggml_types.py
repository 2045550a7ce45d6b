"""The table of tensor types, against the ggml that is installed."""

from __future__ import annotations

import ctypes

import pytest

from edgelora.gguf.ggml_types import GGML_TYPES, GgmlType
from edgelora.native import backend


@pytest.fixture(scope="module")
def ggml() -> ctypes.CDLL:
    library = backend.ggml()
    library.ggml_type_name.restype = ctypes.c_char_p
    library.ggml_type_size.restype = ctypes.c_size_t
    library.ggml_blck_size.restype = ctypes.c_int64
    return library


@pytest.mark.parametrize("kind", GGML_TYPES.values(), ids=lambda kind: kind.name)
def test_layout_is_ggmls(ggml: ctypes.CDLL, kind: GgmlType) -> None:
    assert ggml.ggml_type_name(kind.id).decode().upper() == kind.name
    assert (ggml.ggml_type_size(kind.id), ggml.ggml_blck_size(kind.id)) == (kind.type_size, kind.block_size)
