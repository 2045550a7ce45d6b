"""An unquantized model in a folder of Transformers, laid out like a base."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from edgelora_convert.layout.architectures import ARCHITECTURES
from edgelora_convert.layout.resolve import Resolver
from edgelora_convert.layout.whole_model import WholeModel
from edgelora_convert.problems import Problems
from edgelora_convert.storage.config_file import ConfigFileError, read_object
from edgelora_convert.storage.tensor_file import open_tensors

from edgelora.errors import ConversionError, MergeError
from edgelora.gguf.facts import BaseFacts
from edgelora.merge.untied import untied

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from edgelora_convert.layout.wholes import MatrixRows
    from edgelora_convert.storage.stored import StoredTensor
    from numpy.typing import NDArray

    from edgelora.merge.base import Base, BaseTensor
    from edgelora.merge.readable import Readable

UNQUANTIZED = frozenset({"F32", "F16", "BF16"})

MAKE_A_GGUF = (
    "Make a GGUF of it with llama.cpp (python convert_hf_to_gguf.py FOLDER --outtype bf16), and give that to --source."
)

_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Arranged:
    """A tensor of the base, put together of what the folder has of it; see :class:`readable.Readable`.

    ``parts`` begin at the rows ``starts``, in order, and leave none out. Rows are read when they are asked for.
    """

    name: str
    shape: tuple[int, ...]
    parts: tuple[MatrixRows, ...]
    starts: tuple[int, ...]
    type_name: str = "F32"

    @property
    def n_rows(self) -> int:
        """Number of rows, those of all its matrices."""
        return self.starts[-1] + self.parts[-1].n_rows

    def rows(self, first: int, count: int) -> NDArray[np.uint8]:
        """The bytes of ``count`` rows of float32. Raises ConversionError where they cannot be read."""
        values = np.empty((count, self.shape[0]), np.float32)
        row = first
        while row < first + count:
            number = bisect_right(self.starts, row) - 1
            skipped = row - self.starts[number]
            n = min(self.parts[number].n_rows - skipped, first + count - row)
            values[row - first : row - first + n] = self.parts[number].load(skipped, n)
            row += n
        return values.view(np.uint8)


@dataclass(frozen=True)
class Folder:
    """A model's folder: the files of its weights, and its parameters by name, of which nothing is read yet."""

    path: Path
    files: tuple[Path, ...]
    stored: Mapping[str, StoredTensor]

    def tensors(self, base: Base, names: Collection[str]) -> dict[str, Readable]:
        """The tensors ``names`` of ``base``, seen as :func:`untied` shows it, with the folder's values.

        What the base holds in F32 is not rounded there, and nothing that llama.cpp's converter did to it need be known
        (norms, biases, tensors that it computed), so it is taken from the base. Raises MergeError where it is not known
        how one lies in the folder, or where it is not there.
        """
        view = untied(base)
        facts, problems = BaseFacts.of(view.header), Problems(str(self.path))
        if facts.arch not in ARCHITECTURES:
            raise MergeError(
                f"{self.path}: how weights of {facts.arch} models lie in a folder is not known here", MAKE_A_GGUF
            )
        wanted = {name for name in names if view.tensors[name].type_name != "F32"}
        floats = {name: values for name, values in self.stored.items() if values.is_float}
        resolver = Resolver(view.header, facts, problems)
        found = WholeModel(resolver, facts.arch, problems).matrices(floats, wanted)
        return {name: self._tensor(view.tensors[name], found.get(name, ()), problems) for name in names}

    def _tensor(self, tensor: BaseTensor, parts: Sequence[MatrixRows], problems: Problems) -> Readable:
        if parts:
            return self._arranged(tensor, parts)
        if tensor.type_name in UNQUANTIZED:
            return tensor
        raise MergeError(
            f"{self.path}: {tensor.name} of the base was not found in it{self._why(problems)}", MAKE_A_GGUF
        )

    def _arranged(self, tensor: BaseTensor, parts: Sequence[MatrixRows]) -> Arranged:
        per_matrix = tensor.n_rows // tensor.n_matrices
        placed = sorted(((part.stack or 0) * per_matrix + part.first, number) for number, part in enumerate(parts))
        starts = tuple(start for start, _ in placed)
        ordered = tuple(parts[number] for _, number in placed)
        ends = (0, *(start + part.n_rows for start, part in zip(starts, ordered, strict=True)))
        if ends != (*starts, tensor.n_rows):
            raise MergeError(
                f"{self.path}: {ordered[0].new.name} and its like do not give every row of {tensor.name} once",
                MAKE_A_GGUF,
            )
        return Arranged(tensor.name, tensor.shape, ordered, starts)

    def _why(self, problems: Problems) -> str:
        """What it has instead, where that may be the reason."""
        others = [f"{name} is {values.dtype}" for name, values in self.stored.items() if not values.is_float]
        shown = [*problems.lines(), *others][:_MOST_SHOWN]
        return f" ({'; '.join(shown)})" if shown else ""


def open_folder(path: Path) -> Folder:
    """The model in the folder at ``path``: config.json, and model.safetensors or its index and parts.

    Raises MergeError where there is none, where it is damaged or incomplete, and where it is quantized itself.
    """
    try:
        _require_unquantized(path, read_object(path / "config.json"))
        files = _files(path)
        problems = Problems(str(path))
        return Folder(path, files, {name: one for file in files for name, one in open_tensors(file, problems).items()})
    except ConfigFileError as error:
        raise MergeError(f"{path}: this is no folder of a model, or not all of it: {error}", _WHAT_IT_TAKES) from None
    except ConversionError as error:
        raise MergeError(f"{path}: {error.problems[0]}", error.hint) from None


_WHAT_IT_TAKES = "--source takes a GGUF, or a folder with config.json and model.safetensors (or its index and parts)."


def _require_unquantized(path: Path, config: Mapping[str, object]) -> None:
    for key in ("quantization_config", "quantization"):
        found = config.get(key)
        if found:
            method = found.get("quant_method", "") if isinstance(found, dict) else ""
            raise MergeError(
                f"{path}: it is quantized itself ({f'with {method}' if method else f'{key} in config.json'})",
                "Give the model in F16, BF16 or F32, or leave --source out.",
            )


def _files(path: Path) -> tuple[Path, ...]:
    if (path / _WEIGHTS).is_file():
        return (path / _WEIGHTS,)
    if not (path / _INDEX).is_file():
        raise ConfigFileError(f"it has neither {_WEIGHTS} nor {_INDEX}")
    parts = read_object(path / _INDEX).get("weight_map")
    if not parts or not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
        raise ConfigFileError(f"{_INDEX} names no parts")
    names = sorted(set(parts.values()))
    missing = [name for name in names if "/" in name or "\\" in name or not (path / name).is_file()]
    if missing:
        more = f" and {len(missing) - _MOST_SHOWN} more" if len(missing) > _MOST_SHOWN else ""
        raise ConfigFileError(f"parts are missing: {', '.join(missing[:_MOST_SHOWN])}{more}")
    return tuple(path / name for name in names)
