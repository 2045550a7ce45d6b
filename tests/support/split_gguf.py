"""A GGUF in parts, as tools/gguf-split/gguf-split.cpp of llama.cpp writes them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from edgelora.gguf.data import raw_bytes
from edgelora.gguf.reader import read_header
from support.raw_gguf import KV, Tensor, encode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgelora.gguf.header import Header, TensorInfo

U16, I32 = 2, 5


def split_gguf(source: Path, folder: Path, n_parts: int) -> list[Path]:
    """Write the tensors of ``source`` into ``n_parts`` files in ``folder``; the first one holds all metadata."""
    header = read_header(source)
    infos = list(header.tensors.values())
    share = -(-len(infos) // n_parts)
    paths = []
    for number in range(n_parts):
        entries = [*(_entries(header) if number == 0 else []), *split_entries(number, n_parts, len(infos))]
        paths.append(folder / f"{source.stem}-{number + 1:05d}-of-{n_parts:05d}.gguf")
        paths[-1].write_bytes(_encoded(header, entries, infos[number * share : (number + 1) * share]))
    return paths


def split_entries(number: int, count: int, n_tensors: int) -> list[KV]:
    """What numbers a part."""
    return [
        KV("split.no", U16, struct.pack("<H", number)),
        KV("split.count", U16, struct.pack("<H", count)),
        KV("split.tensors.count", I32, struct.pack("<i", n_tensors)),
    ]


def _entries(header: Header) -> list[KV]:
    raw = header.path.read_bytes()
    found = []
    for key, (start, end) in header.spans.items():
        value = start + 8 + len(key.encode())
        found.append(KV(key, int.from_bytes(raw[value : value + 4], "little"), raw[value + 4 : end]))
    return found


def _encoded(header: Header, entries: Sequence[KV], infos: Sequence[TensorInfo]) -> bytes:
    tensors, data = [], b""
    for info in infos:
        tensors.append(Tensor(info.name, info.shape, info.type_id, len(data)))
        data += raw_bytes(header, info).tobytes()
        data += bytes(-len(data) % 32)
    return encode(tuple(entries), tuple(tensors), data)
