"""The base that adapters are baked into: one GGUF, or all parts of a split one, read as one model."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import GGUFError
from edgelora.gguf.ggml_types import GGML_TYPES
from edgelora.gguf.reader import read_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import FileIO
    from os import PathLike
    from pathlib import Path

    from numpy.typing import NDArray

    from edgelora.gguf.header import Header, TensorInfo

_PART_NAME = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")


@dataclass(frozen=True, slots=True)
class BaseTensor:
    """A tensor and the file that it lies in. Its rows count through all matrices of a stack."""

    path: Path
    info: TensorInfo

    @property
    def name(self) -> str:
        """Its name."""
        return self.info.name

    @property
    def type_name(self) -> str:
        """Its ggml type, in upper case."""
        return self.info.type_name

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in GGUF order, the row length first."""
        return self.info.shape

    @property
    def n_rows(self) -> int:
        """Number of rows, those of all its matrices."""
        return self.info.n_elements // self.info.shape[0]

    @property
    def n_matrices(self) -> int:
        """Number of matrices: 1, or those of a stack."""
        return self.n_rows // (self.info.shape[1] if len(self.info.shape) > 1 else 1)

    def rows(self, first: int, count: int) -> NDArray[np.uint8]:
        """The stored bytes of ``count`` rows from ``first`` on, uint8 ``[count, row_bytes]``.

        They are read, not mapped: a file that somebody cuts off meanwhile gives an error instead of a signal.
        Raises GGUFError where they cannot be read.
        """
        kind = GGML_TYPES[self.info.type_id]
        raw = np.empty((count, self.info.shape[0] // kind.block_size * kind.type_size), np.uint8)
        with opened(self.path) as file:
            file.seek(self.info.offset + first * raw.shape[1])
            if file.readinto(raw.data) != raw.nbytes:
                raise GGUFError(f"{self.path}: the file ends within {self.name}", "Was it replaced meanwhile?")
        return raw


@dataclass(frozen=True)
class Base:
    """A model: its parts in order, and every tensor by name in the order of the files.

    ``header`` describes the whole model for those who look at metadata, shapes and types. For a split model the
    offsets in it are those within each part; ask ``tensors`` for data.
    """

    parts: tuple[Header, ...]
    header: Header
    tensors: Mapping[str, BaseTensor]

    @property
    def path(self) -> Path:
        """The file, or the first part."""
        return self.header.path

    def metadata_entries(self) -> Iterator[tuple[str, bytes]]:
        """Every metadata entry as it is encoded in the file, in order; those that number the parts are left out.

        The first part holds all of them (tools/gguf-split/gguf-split.cpp in llama.cpp).
        """
        with opened(self.path) as file:
            for key, (start, end) in self.header.spans.items():
                if len(self.parts) == 1 or key not in _SPLIT_KEYS:
                    file.seek(start)
                    yield key, file.read(end - start)


def opened(path: Path) -> FileIO:
    """The file at ``path``, to read from it. Raises GGUFError where it cannot be opened."""
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise GGUFError(f"{path}: cannot be read ({error.strerror})", "Was it moved meanwhile?") from None


def read_base(path: str | PathLike[str]) -> Base:
    """Read the base at ``path``; of a split one any part will do, the others are found beside it by their names.

    Raises GGUFError where a file is no readable GGUF, and where a part is missing or belongs to another model.
    """
    given = read_part(path)
    count = _number(given, "split.count", 1)
    if count <= 1:
        return _base((given,))
    parts = tuple(map(read_part, _part_paths(given.path, _number(given, "split.no", 0), count)))
    for number, part in enumerate(parts):
        _require_part(part, number, count)
    return _base(parts)


def _base(parts: tuple[Header, ...]) -> Base:
    tensors: dict[str, BaseTensor] = {}
    for part in parts:
        for name, info in part.tensors.items():
            if name in tensors:
                raise GGUFError(f"{part.path}: {name} is in {tensors[name].path.name} too", _FOREIGN)
            tensors[name] = BaseTensor(part.path, info)
    if not tensors:
        raise GGUFError(f"{parts[0].path}: it holds no tensors", "Get the whole model.")
    announced = _number(parts[0], "split.tensors.count", len(tensors))
    if len(parts) > 1 and announced != len(tensors):
        raise GGUFError(f"{parts[0].path}: its parts hold {len(tensors)} tensors, {announced} are announced", _FOREIGN)
    infos = {name: tensor.info for name, tensor in tensors.items()}
    return Base(parts, replace(parts[0], tensors=infos, file_size=sum(part.file_size for part in parts)), tensors)


_FOREIGN = "The parts are not of one model; download all of them again."


def _part_paths(path: Path, number: int, count: int) -> list[Path]:
    """Where the parts lie, by the names that llama.cpp looks for (llama_split_path in src/llama.cpp)."""
    name = _PART_NAME.fullmatch(path.name)
    if name is None or (int(name["number"]), int(name["count"])) != (number + 1, count):
        raise GGUFError(
            f"{path}: it is part {number + 1} of {count} of a split model, but its name does not say so",
            f"Give it back its name, which ends in -{number + 1:05d}-of-{count:05d}.gguf.",
        )
    paths = [path.with_name(f"{name['prefix']}-{part:05d}-of-{count:05d}.gguf") for part in range(1, count + 1)]
    missing = [part.name for part in paths if not part.exists()]
    if missing:
        listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise GGUFError(f"{path}: parts of this split model are missing: {listed}", "Put all parts into one folder.")
    return paths


def _require_part(part: Header, number: int, count: int) -> None:
    found = _number(part, "split.no", 0), _number(part, "split.count", 1)
    if found != (number, count):
        raise GGUFError(
            f"{part.path}: it says that it is part {found[0] + 1} of {found[1]}, expected {number + 1} of {count}",
            _FOREIGN,
        )


def _number(header: Header, key: str, default: int) -> int:
    """A whole number, as which the keys of a split are stored in several widths; ``count`` is at most 65535."""
    value = header.get(key, default)
    if not 0 <= value <= 0xFFFF and key != "split.tensors.count":
        raise GGUFError(f"{header.path}: {key} cannot be {value}", "The file is damaged.")
    return value
