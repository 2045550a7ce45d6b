"""What the merged file will look like: its header, and where every tensor goes, before a byte is written."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgelora.gguf.ggml_types import FILE_TYPES
from edgelora.gguf.reader import MAGIC
from edgelora.merge.base import BaseTensor
from edgelora.merge.metadata import encoded_entry, encoded_text
from edgelora.native.quantize import TYPES, row_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgelora.merge.base import Base
    from edgelora.merge.changes import TensorChange
    from edgelora.merge.metadata import MetadataValue
    from edgelora.merge.readable import Readable

RowEncoder = Callable[[int, NDArray[np.float32], NDArray[np.uint8]], NDArray[np.uint8]]
"""Encodes rows: (first row, new values [n, n_cols], stored old rows) -> uint8 [n, row_bytes]. Called by several
threads, with rows in any order."""

_FILE_TYPE = "general.file_type"
_FILE_TYPE_OF = {name.removesuffix("_M"): number for number, name in FILE_TYPES.items()}


@dataclass(frozen=True)
class Rewrite:
    """A tensor that is written anew, as ``type_name``. ``change`` None keeps the values.

    A tensor whose name the base does not have is added behind all others; its rows come from ``tensor`` all the
    same, which may be another tensor of the base under a new name, or :class:`Zeros`.
    """

    tensor: Readable
    type_name: str
    change: TensorChange | None
    encode: RowEncoder


@dataclass(frozen=True, slots=True)
class Zeros:
    """A tensor that the base lacks, such as a bias, before anything is added to it."""

    name: str
    shape: tuple[int, ...]
    type_name: str = "F32"

    @property
    def n_rows(self) -> int:
        """Number of rows, those of all its matrices."""
        return int(np.prod(self.shape[1:], dtype=np.int64))

    def rows(self, first: int, count: int) -> NDArray[np.uint8]:
        """``count`` rows of zeros."""
        return np.zeros((count, row_bytes(self.type_name, self.shape[0])), np.uint8)


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor's data in the merged file: what it is made of, and the bytes that it fills."""

    content: BaseTensor | Rewrite
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Layout:
    """The merged file: ``head`` up to the first tensor's data, all tensors in order, and its size in bytes."""

    head: bytes
    tensors: tuple[Placed, ...]
    size: int


def plan_layout(base: Base, rewrites: Sequence[Rewrite], metadata: Mapping[str, MetadataValue]) -> Layout:
    """Lay out the merged file.

    Every metadata entry of the base keeps its bytes and its place, except those that ``metadata`` replaces, and
    ``general.file_type`` where most values get another type; new ones follow. Order, names and alignment of the
    tensors are the base's. Raises QuantizationError where rows are no whole blocks of their new type.
    """
    by_name = {rewrite.tensor.name: rewrite for rewrite in rewrites}
    contents = [by_name.pop(name, tensor) for name, tensor in base.tensors.items()] + list(by_name.values())
    alignment = base.header.alignment
    offset, infos, placed = 0, [], []
    for content in contents:
        tensor, nbytes = _tensor(content), _nbytes(content)
        infos.append(_tensor_info(tensor.name, tensor.shape, content.type_name, offset))
        placed.append((content, offset, nbytes))
        offset += _padded(nbytes, alignment)
    head = _head(base, _entries(base, {**_file_type(base, contents), **metadata}), infos)
    start = len(head)
    return Layout(head, tuple(Placed(content, start + at, nbytes) for content, at, nbytes in placed), start + offset)


def _tensor(content: BaseTensor | Rewrite) -> Readable:
    return content.tensor if isinstance(content, Rewrite) else content


def _nbytes(content: BaseTensor | Rewrite) -> int:
    if isinstance(content, BaseTensor):
        return content.info.nbytes
    return content.tensor.n_rows * row_bytes(content.type_name, content.tensor.shape[0])


def _tensor_info(name: str, shape: tuple[int, ...], type_name: str, offset: int) -> bytes:
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return encoded_text(name) + dims + struct.pack("<IQ", TYPES[type_name].id, offset)


def _entries(base: Base, metadata: Mapping[str, MetadataValue]) -> list[bytes]:
    added = {key: encoded_entry(key, value) for key, value in metadata.items()}
    return [added.pop(key, entry) for key, entry in base.metadata_entries()] + list(added.values())


def _head(base: Base, entries: Sequence[bytes], infos: Sequence[bytes]) -> bytes:
    head = MAGIC + struct.pack("<IQQ", base.header.version, len(infos), len(entries))
    head += b"".join(entries) + b"".join(infos)
    return head + bytes(_padded(len(head), base.header.alignment) - len(head))


def _padded(nbytes: int, alignment: int) -> int:
    return -(-nbytes // alignment) * alignment


def _file_type(base: Base, contents: Iterable[BaseTensor | Rewrite]) -> dict[str, int]:
    """The entry of the file's type, where it has one and most values are stored otherwise than before."""
    before, after = _main_type(base.tensors.values()), _main_type(contents)
    if before == after or _FILE_TYPE not in base.header.metadata or after not in _FILE_TYPE_OF:
        return {}
    return {_FILE_TYPE: _FILE_TYPE_OF[after]}


def _main_type(contents: Iterable[BaseTensor | Rewrite]) -> str:
    sizes: Counter[str] = Counter()
    for content in contents:
        tensor = _tensor(content)
        sizes[content.type_name] += tensor.n_rows * tensor.shape[0]
    return sizes.most_common(1)[0][0]
