"""Finds out what a path on disk holds: an adapter in one of the forms that can be read, or in words what else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora_convert.sources.config_file import ConfigFileError, read_object
from edgelora_convert.storage.signatures import GGUF, begins_with, what_else

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgelora_convert.problems import Problems

CONFIG = "adapter_config.json"
_MLX_FIELDS = frozenset({"lora_parameters", "fine_tune_type", "lora_layers"})
_SHARDS = "its weights are split into shards; save the adapter again as a single adapter_model.safetensors"
_WHOLE_MODEL = "it holds a whole model, not an adapter"

_OTHER_WEIGHTS = (
    ("adapter_model.safetensors.index.json", _SHARDS),
    ("adapter_model.bin.index.json", _SHARDS),
    ("adapter_model-*-of-*", _SHARDS),
    ("adapter_model.pt", "its weights are adapter_model.pt; save the adapter again as adapter_model.safetensors"),
    ("adapters.npz", "its weights are in the older MLX form adapters.npz; save them again as adapters.safetensors"),
    ("ggml-adapter-model.bin", "it is in the old ggla format; convert the original adapter instead"),
    ("model.safetensors*", _WHOLE_MODEL),
    ("model-*-of-*", _WHOLE_MODEL),
    ("pytorch_model*.bin*", _WHOLE_MODEL),
    ("consolidated*", _WHOLE_MODEL),
    ("*.zip", "it is an archive (.zip); unpack it first, and give the folder with the adapter"),
)
"""File names that explain why there are no weights that can be used, the most telling first."""

_CHECKPOINTS = (
    ("*_adapters.safetensors", "it holds only checkpoints (*_adapters.safetensors); give one of them instead"),
)
_NOT_IT = re.compile(r"model[.-].*|consolidated.*|optimizer.*|.*-of-\d+\.safetensors|\d+_adapters\.safetensors")
_SHOWN = 5


@dataclass(frozen=True)
class _Configured:
    """Weights with their configuration beside them; both files exist."""

    name: str
    folder: Path
    config: Path
    weights: Path


class PeftFolder(_Configured):
    """An adapter as PEFT's ``save_pretrained`` writes it."""


class MlxFolder(_Configured):
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
            problems.stop("source", "no such file or folder")
        if src.is_dir():
            return _in_folder(src, problems)
        if not src.is_file():
            problems.stop("source", "it is neither a file nor a folder")
        return _in_folder(src.parent, problems) if src.name == CONFIG else _in_file(src, problems)
    except OSError as error:
        problems.stop("source", f"it cannot be read ({error.strerror or error})")


def _in_folder(folder: Path, problems: Problems) -> Found:
    elsewhere = "" if (folder / CONFIG).is_file() else _elsewhere(folder)
    if elsewhere:
        problems.stop("config", f"there is no adapter in it; {elsewhere}")
    kind = _kind(folder / CONFIG, "in it", problems)
    return _complete(kind(folder.resolve().name, folder, folder / CONFIG, _weights(folder, kind, problems)), problems)


def _in_file(path: Path, problems: Problems) -> Found:
    if begins_with(path, GGUF):
        return GgufFile(path)
    other = what_else(path) or next((reason for pattern, reason in _OTHER_WEIGHTS if path.match(pattern)), "")
    if other:
        problems.stop("weights", f"{path.name} cannot be used: {other}")
    folder = path.parent
    kind = _kind(folder / CONFIG, "beside it; the strength of the adapter is only known from there", problems)
    name = folder.resolve().name if path.name in _WEIGHTS[kind] else path.stem
    return _complete(kind(name, folder, folder / CONFIG, path), problems)


def _kind(config: Path, where: str, problems: Problems) -> type[PeftFolder | MlxFolder]:
    """Whose configuration it is; one that is missing or cannot be read goes to the problems."""
    if not config.is_file():
        problems.refuse("config", f"there is no {CONFIG} {where}")
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
        problems.stop("weights", _why_not_one(folder, kind, candidates))
    return candidates[0]


def _why_not_one(folder: Path, kind: type[PeftFolder | MlxFolder], candidates: list[Path]) -> str:
    if candidates:
        return f"several files in it could be its weights; give one of them: {_listed(candidates)}"
    reasons = (reason for pattern, reason in (*_OTHER_WEIGHTS, *_CHECKPOINTS) if any(folder.glob(pattern)))
    return next(reasons, f"there is no {_WEIGHTS[kind][0]} in it")


def _complete(found: PeftFolder | MlxFolder, problems: Problems) -> Found:
    """``found``, unless anything stood against it, or against its weights."""
    other = what_else(found.weights)
    if other:
        problems.refuse("weights", f"{found.weights.name} cannot be used: {other}")
    problems.raise_if_any()
    return found


def _elsewhere(folder: Path) -> str:
    """Where there are adapters, for somebody who gave a folder too far up."""
    adapters = [path.parent for path in folder.glob(f"*/{CONFIG}")]
    if adapters:
        return f"its subfolders hold some, give one of them: {_listed(adapters)}"
    files = list(folder.glob("*.gguf"))
    return f"it holds GGUF files, give one of them: {_listed(files)}" if files else ""


def _listed(paths: Iterable[Path]) -> str:
    """Names in their natural order, checkpoint-500 before checkpoint-1000."""
    names = sorted(
        (path.name for path in paths), key=lambda name: [(len(part), part) for part in re.split(r"(\d+)", name)]
    )
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
