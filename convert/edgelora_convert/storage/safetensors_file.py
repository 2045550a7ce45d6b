"""The header of a safetensors file, checked as the format asks before anything is believed.

The format is that of github.com/huggingface/safetensors: a 64-bit length, a JSON object of that length, then the data.
The checks are those of its ``Metadata::validate``: known types, sizes that agree with the shapes, data without gaps,
overlaps or a remainder. Names that occur twice are refused too.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, BinaryIO

from edgelora_convert.storage.stored import MAX_DIMS, StoredTensor, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_HEADER_BYTES = 24 * 1024 * 1024
"""Room for some 150,000 tensors; the format itself allows 100 MB, which takes gigabytes to parse."""

_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


def safetensors_in(path: Path, file: BinaryIO, size: int) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file of ``size`` bytes, by name. Raises UnreadableFileError where it is damaged."""
    header = _header(file, size)
    data_start, data_size = file.tell(), size - file.tell()
    found = {name: _tensor(path, name, entry, data_start) for name, entry in header.items()}
    _check_layout(((tensor.name, *header[tensor.name]["data_offsets"]) for tensor in found.values()), data_size)
    return found


def _damaged(how: str) -> UnreadableFileError:
    return UnreadableFileError(f"it is damaged or incomplete ({how}); download or copy it again")


def _header(file: BinaryIO, size: int) -> dict[str, Any]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise _damaged(f"its header would be longer than the file, which has {size} bytes")
    if length > MAX_HEADER_BYTES:
        raise _damaged(f"its header of {length} bytes is larger than {MAX_HEADER_BYTES}")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise _damaged(f"its header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise _damaged("its header is no JSON object")
    notes = header.pop("__metadata__", None)
    if notes is not None and not (isinstance(notes, dict) and all(isinstance(note, str) for note in notes.values())):
        raise _damaged("the metadata in its header is no text")
    return header


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _tensor(path: Path, name: str, entry: Any, data_start: int) -> StoredTensor:
    """One entry of the header, with a shape and offsets that agree."""
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        bits = _BITS[dtype] * _count(shape)
    except (KeyError, TypeError, ValueError):
        raise _damaged(f"the entry of {name} in its header is not understood") from None
    if type(start) is not int or type(end) is not int or (end - start) * 8 != bits:
        raise _damaged(f"the size of {name} does not agree with its shape")
    return StoredTensor(path, name, dtype, tuple(shape), data_start + start)


def _count(shape: Any) -> int:
    if type(shape) is not list or len(shape) > MAX_DIMS:
        raise ValueError
    if not all(type(extent) is int and 0 <= extent < 2**63 for extent in shape):
        raise ValueError
    return math.prod(shape)


def _check_layout(places: Iterable[tuple[str, int, int]], data_size: int) -> None:
    """The data of all tensors must fill the rest of the file, one after another."""
    expected = 0
    for name, start, end in sorted(places, key=lambda place: place[1:]):
        if start != expected:
            raise _damaged(f"the data of {name} starts at {start}, expected {expected}")
        expected = end
    if expected > data_size:
        raise _damaged(f"the file is cut off: {expected} bytes of data are announced, {data_size} are there")
    if expected < data_size:
        raise _damaged(f"{data_size - expected} bytes follow after its last tensor")
