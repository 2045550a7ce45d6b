"""safetensors files put together by hand, with headers that no library would write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def entry(dtype: str, shape: list[Any], start: Any, end: Any) -> dict[str, Any]:
    """One tensor of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def write_raw(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    """A file with this header, as text or to be encoded, and the length it announces for it."""
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path
