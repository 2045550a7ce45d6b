"""The file of a parked sequence: a header that says whose it is, and what llama.cpp saved.

    8 bytes   magic
    u32       length of the header, little-endian
    32 bytes  SHA-256 of the header
    header    JSON: owner, selection [[sha256, scale], ...], tokens, shortest, n_bytes, sha256 of what follows
    n_bytes   what llama.cpp saved

llama.cpp aborts on some malformed states, so nothing is restored that is not bit for bit what was written.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgelora.gguf.replacing import replacing
from edgelora.native.sequences import SavedState
from edgelora.types import Member, Selection

MAGIC = b"EDGEKV01"
_START = struct.Struct(f"<{len(MAGIC)}sI32s")
_LONGEST_HEADER = 2**26  # millions of tokens


@dataclass(frozen=True, slots=True)
class ParkedFile:
    """What the header says. ``owner`` names the engine whose numbers these are: base, types, and what computes."""

    path: Path
    owner: str
    selection: Selection
    tokens: list[int]
    shortest: int
    n_bytes: int
    sha256: str

    def load(self) -> SavedState | None:
        """What was saved; None where the file is gone or is no longer what was written."""
        try:
            data = np.empty(self.n_bytes, np.uint8)
            with self.path.open("rb") as file:
                file.seek(-self.n_bytes, 2)
                complete = file.readinto(data.data) == self.n_bytes
        except (OSError, MemoryError):
            return None
        return SavedState(data, self.shortest) if complete and _sha256(data.data) == self.sha256 else None


def write(path: Path, owner: str, selection: Selection, tokens: list[int], state: SavedState) -> ParkedFile:
    """Write the file at ``path``, all of it or nothing. Raises OSError."""
    written = ParkedFile(path, owner, selection, tokens, state.shortest, state.data.nbytes, _sha256(state.data.data))
    header = _encoded(written)
    with replacing(path) as temporary:
        temporary.chmod(0o600)  # it is what somebody said
        with temporary.open("wb") as file:
            file.write(_START.pack(MAGIC, len(header), hashlib.sha256(header).digest()))
            file.write(header)
            file.write(state.data.data)
    return written


def read(path: Path) -> ParkedFile | None:
    """The header of the file at ``path``; None where that is no such file, or not all of one."""
    try:
        with path.open("rb") as file:
            magic, length, digest = _START.unpack(file.read(_START.size))
            header = file.read(length) if magic == MAGIC and length <= _LONGEST_HEADER else b""
            if hashlib.sha256(header).digest() != digest:
                return None
            found = _decoded(path, json.loads(header))
        return found if path.stat().st_size == _START.size + length + found.n_bytes else None
    except (OSError, ValueError, LookupError, TypeError, struct.error):
        return None


def _encoded(file: ParkedFile) -> bytes:
    members = [[member.adapter, member.scale] for member in file.selection.members]
    fields = {
        "owner": file.owner,
        "selection": members,
        "tokens": file.tokens,
        "shortest": file.shortest,
        "n_bytes": file.n_bytes,
        "sha256": file.sha256,
    }
    return json.dumps(fields).encode()


def _decoded(path: Path, fields: dict[str, Any]) -> ParkedFile:
    selection = Selection.of(Member(adapter, scale) for adapter, scale in fields["selection"])
    return ParkedFile(
        path, fields["owner"], selection, fields["tokens"], fields["shortest"], fields["n_bytes"], fields["sha256"]
    )


def _sha256(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()
