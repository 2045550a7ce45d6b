"""What a GGUF header says: metadata values, lazily decoded arrays, tensor infos."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgelora.errors import GGUFError
from edgelora.gguf.ggml_types import GGML_TYPES, SCALAR_FORMATS, ValueType

if TYPE_CHECKING:
    from pathlib import Path

_Scalar = TypeVar("_Scalar", int, float, str, bool)


@dataclass(frozen=True, eq=False)
class MetadataArray(Sequence[Any]):
    """An array in the metadata. Its elements are decoded when first asked for, all at once.

    ``raw`` holds the encoded elements as in the file; strings keep their 64-bit lengths.
    """

    element_type: ValueType
    size: int
    raw: bytes = field(repr=False)

    @cached_property
    def values(self) -> tuple[Any, ...]:
        """The decoded elements. Bytes that are no UTF-8 become U+FFFD (a vocabulary may hold such pieces)."""
        if self.element_type is ValueType.STRING:
            return tuple(text.decode("utf-8", "replace") for text in self.encoded())
        return struct.unpack(f"<{self.size}{SCALAR_FORMATS[self.element_type]}", self.raw)

    def encoded(self) -> Iterator[bytes]:
        """The elements of an array of strings as they are in the file."""
        pos = 0
        for _ in range(self.size):
            start = pos + 8
            pos = start + int.from_bytes(self.raw[pos:start], "little")
            yield self.raw[start:pos]

    def text_at(self, index: int) -> str:
        """One element of an array of strings, without decoding the others."""
        length, pos = struct.Struct("<Q").unpack_from, 0
        for _ in range(index):
            pos += 8 + length(self.raw, pos)[0]
        return self.raw[pos + 8 : pos + 8 + length(self.raw, pos)[0]].decode("utf-8", "replace")

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.values[index]


MetadataValue = int | float | bool | str | MetadataArray


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: ``shape`` in GGUF order (``ne``: the row length first), ``offset`` from the start of the file.

    In a model of several parts it counts as if the parts were one file; :meth:`Header.place_of` says where that is.
    """

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int
    nbytes: int

    @property
    def type_name(self) -> str:
        """The ggml type in upper case, such as ``Q4_K``."""
        return GGML_TYPES[self.type_id].name

    @property
    def n_elements(self) -> int:
        """Number of values."""
        product = 1
        for extent in self.shape:
            product *= extent
        return product


@dataclass(frozen=True)
class Header:
    """The header of one GGUF file, or of a model in several. It holds no open file, and can be pickled.

    ``spans`` says at which bytes of the file each metadata entry starts and ends. ``parts`` are the files of a model in
    several, in order, and their sizes in bytes; ``path`` is the first one, which holds all metadata.
    """

    path: Path
    version: int
    file_size: int
    alignment: int
    metadata: Mapping[str, MetadataValue] = field(repr=False)
    value_types: Mapping[str, ValueType] = field(repr=False)
    spans: Mapping[str, tuple[int, int]] = field(repr=False)
    tensors: Mapping[str, TensorInfo] = field(repr=False)
    parts: tuple[tuple[Path, int], ...] = ()

    def place_of(self, info: TensorInfo) -> tuple[Path, int]:
        """The file that holds a tensor, and the byte at which it starts there."""
        offset = info.offset
        for path, size in self.parts:
            if offset < size:
                return path, offset
            offset -= size
        return self.path, offset

    def get(self, key: str, default: _Scalar) -> _Scalar:
        """The metadata value of ``key``, or ``default`` where it is missing.

        Raises GGUFError where the value is of another kind than ``default`` (an integer passes for a float).
        """
        value = self.metadata.get(key, default)
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default):
            kind = self.value_types[key].name
            raise GGUFError(f"{self.path}: {key} is {kind}, expected {type(default).__name__}", "The file is damaged.")
        return value
