"""The same base, unquantized: adapters are merged into its values, which are then quantized once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.errors import MergeError
from edgelora.merge.base import read_base

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.merge.base import Base

UNQUANTIZED = frozenset({"F32", "F16", "BF16"})

MOST_NAMED = 3


def read_source(path: Path, base: Base) -> Base:
    """The model at ``path``, whose tensors are those of ``base`` in F32, F16 or BF16.

    Raises GGUFError where it cannot be read, MergeError where it is not the same model or is quantized itself.
    """
    if path.is_dir():
        raise MergeError(
            f"{path}: --source takes a GGUF, not a folder",
            "Make one first: python convert_hf_to_gguf.py FOLDER --outtype f16 (in llama.cpp).",
        )
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
    return source


_SAME = "--source takes the same model as --base, unquantized."


def _refuse(path: Path, what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        raise MergeError(f"{path}: it {what}: {', '.join(names[:MOST_NAMED])}{more}", _SAME)
