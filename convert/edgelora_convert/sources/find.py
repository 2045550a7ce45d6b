"""Finds out what a path on disk holds: an adapter in one of the forms that can be read, or in words what else."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora_convert.problems import NO_ADAPTER
from edgelora_convert.sources.other_files import what_helps, what_its_name_says, where_else, why_not_one
from edgelora_convert.storage.config_file import ConfigFileError, read_object
from edgelora_convert.storage.configured import Configured
from edgelora_convert.storage.signatures import GGUF, begins_with, what_else

if TYPE_CHECKING:
    from edgelora_convert.problems import Problems

CONFIG = "adapter_config.json"
_MLX_FIELDS = frozenset({"lora_parameters", "fine_tune_type", "lora_layers"})
_NOT_IT = re.compile(r"model[.-].*|consolidated.*|optimizer.*|.*-of-\d+\.safetensors|\d+_adapters\.safetensors")


_CHECKPOINT = re.compile(r"checkpoint-\d+")


class PeftFolder(Configured):
    """An adapter as PEFT's ``save_pretrained`` writes it."""


class MlxFolder(Configured):
    """An adapter as mlx-lm writes it (mlx_lm/lora.py)."""


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file; whether it is an adapter remains to be seen."""

    path: Path


Found = PeftFolder | MlxFolder | GgufFile

_WEIGHTS: dict[type[PeftFolder | MlxFolder], tuple[str, ...]] = {
    PeftFolder: ("adapter_model.safetensors", "adapter_model.bin"),
    MlxFolder: ("adapters.safetensors",),
}
"""What the weights are called, preferred first."""


def find_source(src: Path, problems: Problems) -> Found:
    """What ``src``, a folder or a file, holds. Raises ConversionError with the reasons where that is no adapter."""
    try:
        if not src.exists():
            problems.stop("source", "no such file or folder", NO_ADAPTER)
        if src.is_dir():
            return _in_folder(src, problems)
        if not src.is_file():
            problems.stop("source", "it is neither a file nor a folder")
        return _in_folder(src.parent, problems) if src.name == CONFIG else _in_file(src, problems)
    except OSError as error:
        problems.stop("source", f"it cannot be read ({error.strerror or error})")


def _in_folder(folder: Path, problems: Problems) -> Found:
    elsewhere = "" if (folder / CONFIG).is_file() else where_else(folder, CONFIG)
    if elsewhere:
        problems.stop("config", f"there is no adapter in it; {elsewhere}")
    kind = _kind(folder / CONFIG, "in it", problems)
    return _complete(kind(name_of(folder), folder, folder / CONFIG, _weights(folder, kind, problems)), problems)


def name_of(folder: Path) -> str:
    """What an adapter in ``folder`` is called: of the checkpoints of a training, with the training's name."""
    whole = Path(os.path.abspath(folder))
    return f"{whole.parent.name}-{whole.name}" if _CHECKPOINT.fullmatch(whole.name) else whole.name


def _in_file(path: Path, problems: Problems) -> Found:
    if begins_with(path, GGUF):
        return GgufFile(path)
    other = what_else(path) or what_its_name_says(path)
    if other:
        problems.stop("weights", f"{path.name} cannot be used: {other}", what_helps(other))
    folder = path.parent
    kind = _kind(folder / CONFIG, "beside it; the scale of the adapter is only known from there", problems)
    name = folder.resolve().name if path.name in _WEIGHTS[kind] else path.stem
    return _complete(kind(name, folder, folder / CONFIG, path), problems)


def _kind(config: Path, where: str, problems: Problems) -> type[PeftFolder | MlxFolder]:
    """Whose configuration it is; one that is missing or cannot be read goes to the problems."""
    if not config.is_file():
        problems.refuse("config", f"there is no {CONFIG} {where}", NO_ADAPTER)
        return PeftFolder
    try:
        fields = read_object(config)
    except ConfigFileError as error:
        problems.refuse("config", str(error))
        return PeftFolder
    return MlxFolder if "peft_type" not in fields and not _MLX_FIELDS.isdisjoint(fields) else PeftFolder


def _weights(folder: Path, kind: type[PeftFolder | MlxFolder], problems: Problems) -> Path:
    """The weights in a folder: by their usual name, or the only other file that could be them."""
    usual = [folder / name for name in _WEIGHTS[kind] if (folder / name).is_file()]
    others = [path for path in folder.glob("*.safetensors") if path.is_file() and not _NOT_IT.fullmatch(path.name)]
    candidates = usual[:1] or others
    if len(candidates) != 1:
        problems.stop("weights", *why_not_one(folder, candidates, _WEIGHTS[kind][0]))
    return candidates[0]


def _complete(found: PeftFolder | MlxFolder, problems: Problems) -> Found:
    """``found``, unless anything stood against it, or against its weights."""
    other = what_else(found.weights)
    if other:
        problems.refuse("weights", f"{found.weights.name} cannot be used: {other}")
    problems.raise_if_any()
    return found
