"""Metadata entries of a GGUF, as bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from edgelora.errors import MergeError
from edgelora.gguf.ggml_types import ValueType
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MetadataValue = str | int | float | tuple[str, ...] | tuple[float, ...]
"""Written as STRING, UINT32, FLOAT32 and arrays of them, which must not be empty."""


def encoded_entry(key: str, value: MetadataValue) -> bytes:
    """A metadata entry as in a GGUF (docs/gguf.md in ggml)."""
    return encoded_text(key) + _typed(value)


def _typed(value: MetadataValue) -> bytes:
    if isinstance(value, tuple):
        items = [_typed(item) for item in value]
        return struct.pack("<I", ValueType.ARRAY) + items[0][:4] + struct.pack("<Q", len(items)) + _bodies(items)
    if isinstance(value, str):
        return struct.pack("<I", ValueType.STRING) + encoded_text(value)
    if isinstance(value, float):
        return struct.pack("<If", ValueType.FLOAT32, value)
    return struct.pack("<II", ValueType.UINT32, value)


def _bodies(items: Iterable[bytes]) -> bytes:
    return b"".join(item[4:] for item in items)


def encoded_text(value: str) -> bytes:
    """A string as in a GGUF: its length in bytes, then the bytes."""
    raw = value.encode("utf-8", "replace")  # JSON may hold halves of characters
    return struct.pack("<Q", len(raw)) + raw


def fill_text(path: Path, key: str, text: str) -> None:
    """Overwrite the string ``key`` of the file at ``path``, which keeps its length: spaces fill up what is left.

    So what is known only after the tensors are written still finds a place, if it was reserved. Raises MergeError
    where ``text`` is longer than the string that is there.
    """
    header = read_header(path)
    old, new = header.get(key, "").encode(), text.encode()
    if len(new) > len(old):
        raise MergeError(f"{path}: {key} has room for {len(old)} bytes, not for {len(new)}")
    with path.open("rb+") as file:
        file.seek(header.spans[key][1] - len(old))
        file.write(new.ljust(len(old)))
