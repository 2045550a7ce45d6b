"""Tensor values of a GGUF file as numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import GGUFError
from edgelora.gguf.ggml_types import GGML_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edgelora.gguf.header import Header, TensorInfo

_PLAIN = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}


def raw_bytes(header: Header, info: TensorInfo) -> NDArray[np.uint8]:
    """The stored bytes of a tensor, memory-mapped read-only, shape ``[nbytes]``."""
    path, offset = header.place_of(info)
    return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=(info.nbytes,))


def tensor_data(header: Header, info: TensorInfo) -> NDArray[np.generic]:
    """The values of a tensor, in numpy order (``info.shape`` reversed).

    F32, F16, F64 and integers are memory-mapped views of the file in their own type; BF16 and quantized types are
    decoded to float32 in memory. Raises GGUFError for a type that cannot be decoded here.
    """
    return _values(header, info, raw_bytes(header, info)).reshape(tuple(reversed(info.shape)))


def tensor_in(data: bytes, header: Header, info: TensorInfo) -> NDArray[np.generic]:
    """The same of a file whose bytes are in memory: read-only views of ``data`` where :func:`tensor_data` maps it."""
    raw = np.frombuffer(data, np.uint8, info.nbytes, info.offset)
    return _values(header, info, raw).reshape(tuple(reversed(info.shape)))


def tensor_rows(header: Header, info: TensorInfo, rows: Sequence[int]) -> NDArray[np.float32]:
    """Some rows of a tensor as float32 ``[len(rows), info.shape[0]]``; no other bytes are read.

    ``rows`` counts through all matrices of a stack. Raises GGUFError for a type that cannot be decoded here, and where
    the file cannot be read.
    """
    kind = GGML_TYPES[info.type_id]
    row_bytes = info.shape[0] // kind.block_size * kind.type_size
    raw = np.empty((len(rows), row_bytes), np.uint8)
    path, offset = header.place_of(info)
    try:
        with path.open("rb", buffering=0) as file:
            for start, end in _runs(rows):
                file.seek(offset + rows[start] * row_bytes)
                if file.readinto(raw[start:end].data) != raw[start:end].nbytes:
                    raise GGUFError(f"{path}: the file ends within {info.name}")
    except OSError as error:
        raise GGUFError(f"{path}: cannot be read ({error.strerror})") from None
    return _values(header, info, raw.reshape(-1)).astype(np.float32, copy=False).reshape(len(rows), -1)


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where in ``rows`` consecutive numbers start and end."""
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or rows[end] != rows[end - 1] + 1:
            yield start, end
            start = end


def _values(header: Header, info: TensorInfo, raw: NDArray[np.uint8]) -> NDArray[np.generic]:
    """The values that are stored in ``raw``, whole blocks of a tensor, one after the other."""
    if info.type_name in _PLAIN:
        return raw.view(_PLAIN[info.type_name])
    if info.type_name == "BF16":
        return bf16_to_f32(raw.view("<u2"))
    return _dequantized(header, info, raw)


def bf16_to_f32(words: NDArray[np.uint16]) -> NDArray[np.float32]:
    """BF16 values, given as 16-bit words, as float32: the words are its upper halves, so this is exact."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def _dequantized(header: Header, info: TensorInfo, raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    try:
        values: NDArray[np.float32] = dequantize(raw, GGMLQuantizationType(info.type_id))
    except (ValueError, NotImplementedError):
        raise GGUFError(f"{header.path}: values of type {info.type_name} ({info.name}) cannot be decoded") from None
    return values
