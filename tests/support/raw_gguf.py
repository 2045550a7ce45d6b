"""GGUF files byte by byte, so that tests can make ones that no writer would."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

STRING, ARRAY, U32, F32, F64 = 8, 9, 4, 6, 12


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


@dataclass(frozen=True)
class KV:
    """One metadata entry: the type's number, and the value as it is encoded."""

    key: str | bytes
    kind: int
    raw: bytes

    def encoded(self) -> bytes:
        return text(self.key) + u32(self.kind) + self.raw


@dataclass(frozen=True)
class Tensor:
    """One tensor info; ``offset`` counts from the start of the data."""

    name: str | bytes
    shape: tuple[int, ...]
    type_id: int = 0
    offset: int = 0

    def encoded(self) -> bytes:
        dims = b"".join(map(u64, self.shape))
        return text(self.name) + u32(len(self.shape)) + dims + u32(self.type_id) + u64(self.offset)


ARCH = KV("general.architecture", STRING, text("llama"))
MODEL = (ARCH, KV("llama.block_count", U32, u32(2)), KV("llama.embedding_length", U32, u32(32)))
"""What every model says of itself."""


def encode(
    kvs: tuple[KV, ...] = (ARCH,),
    tensors: tuple[Tensor, ...] = (),
    data: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    n_tensors: int | None = None,
    n_kvs: int | None = None,
) -> bytes:
    head = magic + u32(version)
    head += u64(len(tensors) if n_tensors is None else n_tensors) + u64(len(kvs) if n_kvs is None else n_kvs)
    head += b"".join(kv.encoded() for kv in kvs) + b"".join(tensor.encoded() for tensor in tensors)
    return head + bytes(-len(head) % 32) + data


def write(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path
