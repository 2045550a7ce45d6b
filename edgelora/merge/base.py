"""The base that adapters are baked into: one GGUF, or all parts of a split one, read as one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import GGUFError
from edgelora.gguf.ggml_types import GGML_TYPES
from edgelora.gguf.split import SPLIT_KEYS, joined, read_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import FileIO
    from os import PathLike
    from pathlib import Path

    from numpy.typing import NDArray

    from edgelora.gguf.header import Header, TensorInfo


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

    ``header`` describes the whole model; the ``tensors`` know their files.
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
                if len(self.parts) == 1 or key not in SPLIT_KEYS:
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
    parts = read_parts(path)
    header = joined(parts)
    if not header.tensors:
        raise GGUFError(f"{header.path}: it holds no tensors", "Get the whole model.")
    tensors = {name: BaseTensor(part.path, info) for part in parts for name, info in part.tensors.items()}
    return Base(parts, header, tensors)
