"""Tensor values of a GGUF file as numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import GGUFError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgelora.gguf.header import Header, TensorInfo

_PLAIN = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}


def raw_bytes(header: Header, info: TensorInfo) -> NDArray[np.uint8]:
    """The stored bytes of a tensor, memory-mapped read-only, shape ``[nbytes]``."""
    return np.memmap(header.path, dtype=np.uint8, mode="r", offset=info.offset, shape=(info.nbytes,))


def tensor_data(header: Header, info: TensorInfo) -> NDArray[np.generic]:
    """The values of a tensor, in numpy order (``info.shape`` reversed).

    F32, F16, F64 and integers are memory-mapped views of the file in their own type; BF16 and quantized types are
    decoded to float32 in memory. Raises GGUFError for a type that cannot be decoded here.
    """
    shape = tuple(reversed(info.shape))
    raw = raw_bytes(header, info)
    if info.type_name in _PLAIN:
        return raw.view(_PLAIN[info.type_name]).reshape(shape)
    if info.type_name == "BF16":
        return bf16_to_f32(raw.view("<u2")).reshape(shape)
    return _dequantized(header, info, raw).reshape(shape)


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
