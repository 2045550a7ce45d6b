"""What folders and files hold that are no adapters, by the names in them, and where the adapter may be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgelora_convert.problems import NO_ADAPTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

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
    "*_adapters.safetensors",
    "it holds only checkpoints (*_adapters.safetensors); give one of them instead",
)
_SHOWN = 5


def what_its_name_says(path: Path) -> str:
    """Why a file of this name is no adapter; empty where the name says nothing."""
    return next((reason for pattern, reason in _OTHER_WEIGHTS if path.match(pattern)), "")


def what_helps(reason: str) -> str:
    """The hint for what ``what_its_name_says``; empty where the reason itself says what to do."""
    return NO_ADAPTER if reason == _WHOLE_MODEL else ""


def why_not_one(folder: Path, candidates: Sequence[Path], usual: str) -> tuple[str, str]:
    """Why there is not one file in ``folder`` that must be the weights, several or something else; and a hint."""
    if candidates:
        return f"several files in it could be its weights; give one of them: {_listed(candidates)}", ""
    reasons = (reason for pattern, reason in (*_OTHER_WEIGHTS, _CHECKPOINTS) if any(folder.glob(pattern)))
    reason = next(reasons, "")
    return (reason, what_helps(reason)) if reason else (f"there is no {usual} in it", NO_ADAPTER)


def where_else(folder: Path, config: str) -> str:
    """Where there are adapters, for somebody who gave a folder too far up; empty where none are seen."""
    adapters = [path.parent for path in folder.glob(f"*/{config}")]
    if adapters:
        return f"its subfolders hold some, give one of them: {_listed(adapters)}"
    files = list(folder.glob("*.gguf"))
    return f"it holds GGUF files, give one of them: {_listed(files)}" if files else ""


def _listed(paths: Iterable[Path]) -> str:
    names = sorted((path.name for path in paths), key=_natural)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _natural(name: str) -> list[tuple[int, str]]:
    """Puts checkpoint-500 before checkpoint-1000."""
    return [(len(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]
