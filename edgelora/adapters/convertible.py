"""What an adapter that is no GGUF looks like from outside: a folder that PEFT or mlx-lm wrote, or its weights file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SIGNS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "adapters.safetensors")
"""Files that show that a folder is meant to be an adapter, even where it is not complete."""

_WEIGHTS = frozenset({".safetensors", ".bin"})
_USUAL_STEMS = frozenset({"adapter_model", "adapters"})


def is_adapter_folder(path: Path) -> bool:
    """Whether ``path`` is a folder that holds an adapter, or a part of one."""
    try:
        return any((path / name).is_file() for name in _SIGNS)
    except OSError:  # what nobody may look into is shown, with that as its problem
        return path.is_dir()


def is_converted_on_the_way(path: Path) -> bool:
    """Whether ``path`` is not used as it is: a folder, or a file of weights."""
    return path.is_dir() or path.suffix.lower() in _WEIGHTS


def shown_name(path: Path) -> str:
    """What people call the adapter at ``path``: the file's name, but the folder's where every such file has it."""
    if path.is_dir():
        return path.name
    return path.parent.name if path.stem in _USUAL_STEMS else path.stem
