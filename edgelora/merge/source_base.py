"""The same base, unquantized: adapters are merged into its values, which are then quantized once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.errors import MergeError
from edgelora.merge.base import read_base
from edgelora.merge.source_check import require_same
from edgelora.merge.source_folder import MAKE_A_GGUF, UNQUANTIZED, open_folder
from edgelora.merge.untied import untied

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from edgelora.merge.base import Base
    from edgelora.merge.readable import Readable

MOST_NAMED = 3


@dataclass(frozen=True)
class SourceModel:
    """A source at ``path``, in ``files``: the ``tensors`` of a base that are needed of it, by name.

    ``is_gguf``: llama.cpp can read it as it is.
    """

    path: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, Readable]
    is_gguf: bool


def read_source(path: Path, base: Base, names: Collection[str]) -> SourceModel:
    """The model at ``path``, a GGUF or a folder, with the tensors ``names`` of ``base`` in F32, F16 or BF16.

    ``names`` may hold the output matrix of a base that has none of its own; it is the embedding then.
    Raises GGUFError or MergeError where it cannot be read, and MergeError where it is not what the base was made of,
    is quantized itself, or lacks one of these tensors.
    """
    source = _folder(path, base, names) if path.is_dir() else _gguf(path, base, names)
    hint = _SAME if source.is_gguf else f"{_SAME} Where it is that, its layout is not known here. {MAKE_A_GGUF}"
    tensors = untied(base).tensors
    for name, tensor in source.tensors.items():
        if tensor is not tensors[name]:
            require_same(path, tensor, tensors[name], hint)
    return source


def _folder(path: Path, base: Base, names: Collection[str]) -> SourceModel:
    folder = open_folder(path)
    return SourceModel(path, folder.files, folder.tensors(base, names), is_gguf=False)


def _gguf(path: Path, base: Base, names: Collection[str]) -> SourceModel:
    source = read_base(path)
    arch = "general.architecture"
    if source.header.get(arch, "") != base.header.get(arch, ""):
        raise MergeError(
            f"{path}: this is a {source.header.get(arch, '?')}, the base is a {base.header.get(arch, '?')}", _SAME
        )
    _refuse(path, "lacks tensors of the base", [name for name in base.tensors if name not in source.tensors])
    pairs = [(source.tensors[name], tensor) for name, tensor in base.tensors.items()]
    _refuse(path, "has other shapes than the base", [ours.name for ours, its in pairs if ours.shape != its.shape])
    quantized = [ours for ours, _ in pairs if len(ours.shape) > 1 and ours.type_name not in UNQUANTIZED]
    if quantized:
        raise MergeError(
            f"{path}: it is quantized itself ({quantized[0].name} is {quantized[0].type_name})",
            "Give the model in F16, BF16 or F32, or leave --source out.",
        )
    files = tuple(part.path for part in source.parts)
    return SourceModel(path, files, {name: untied(source).tensors[name] for name in names}, is_gguf=True)


_SAME = "--source takes the very model that the base was quantized from, and no other fine-tune of it."


def _refuse(path: Path, what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        raise MergeError(f"{path}: it {what}: {', '.join(names[:MOST_NAMED])}{more}", _SAME)
