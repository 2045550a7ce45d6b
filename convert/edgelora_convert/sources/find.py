"""Finds the parts of a PEFT folder, and says plainly what something else is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgelora_convert.problems import Problems

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_LFS_MAGIC = b"version https://git-lfs"

_OTHER_WEIGHTS = (
    (
        "adapter_model.safetensors.index.json",
        "its weights are split into shards; save the adapter again as a single adapter_model.safetensors",
    ),
    ("adapter_model-00001-of-*", "its weights are split into shards; save the adapter again as a single file"),
    ("adapters.safetensors", "it is an MLX adapter, which is not supported yet"),
    ("adapter_model.bin", "its weights are a pickle (adapter_model.bin); save the adapter again as safetensors"),
    ("ggml-adapter-model.bin", "it is in the old ggla format; convert the original PEFT folder"),
    ("model.safetensors*", "it holds a whole model, not an adapter"),
)


@dataclass(frozen=True)
class PeftFolder:
    """An adapter as PEFT's ``save_pretrained`` writes it: both files exist."""

    folder: Path
    config: Path
    weights: Path

    @property
    def name(self) -> str:
        """What the adapter is called: the name of its folder."""
        return self.folder.resolve().name


def find_source(src: Path, problems: Problems) -> PeftFolder:
    """The PEFT folder at ``src``, which may also be its weights file. Raises ConversionError where there is none."""
    if not src.exists():
        problems.stop("source", "no such file or folder")
    if src.is_file():
        if src.name != WEIGHTS:
            problems.stop("source", _what_file(src))
        src = src.parent
    found = PeftFolder(src, src / CONFIG, src / WEIGHTS)
    if not found.weights.is_file():
        problems.refuse("weights", _why_no_weights(src))
    if not found.config.is_file():
        problems.refuse("config", _why_no_config(src))
    for part in (found.config, found.weights):
        if part.is_file() and _is_lfs_pointer(part):
            problems.refuse(part.name, f"{part.name} is only a Git LFS pointer; run `git lfs pull` first")
    problems.raise_if_any()
    return found


def _what_file(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"GGUF":
        return "it is a GGUF file already; use it as it is"
    return f"give the PEFT folder that holds {CONFIG} and {WEIGHTS}"


def _is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_LFS_MAGIC)) == _LFS_MAGIC


def _why_no_weights(folder: Path) -> str:
    for pattern, reason in _OTHER_WEIGHTS:
        if any(folder.glob(pattern)):
            return reason
    return f"there is no {WEIGHTS} in it{_nested(folder)}"


def _why_no_config(folder: Path) -> str:
    return f"there is no {CONFIG} in it{_nested(folder)}"


def _nested(folder: Path) -> str:
    inside = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
    return f"; its subfolders {', '.join(inside[:5])} have one" if inside else ""
