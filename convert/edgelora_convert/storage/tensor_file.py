"""Any file of named tensors: what it is, is found out from its first bytes, not from its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora_convert.storage.safetensors_file import safetensors_in
from edgelora_convert.storage.signatures import ZIP, what_else
from edgelora_convert.storage.stored import StoredTensor, UnreadableFileError
from edgelora_convert.storage.torch_file import torch_tensors_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgelora_convert.problems import Problems

__all__ = ["StoredTensor", "open_tensors"]


def open_tensors(path: Path, problems: Problems) -> Mapping[str, StoredTensor]:
    """The tensors of a safetensors file or of one that torch.save wrote, by name.

    Only names and places are read. Raises ConversionError where the file is damaged or something else.
    """
    try:
        return _tensors(path)
    except UnreadableFileError as error:
        problems.stop("weights", f"{path.name} cannot be used: {error}")
    except OSError as error:
        problems.stop("weights", f"{path.name} cannot be read ({error.strerror or error})")


def _tensors(path: Path) -> Mapping[str, StoredTensor]:
    size = path.stat().st_size
    other = what_else(path)
    if other:
        raise UnreadableFileError(other)
    with path.open("rb") as file:
        if file.read(len(ZIP)) == ZIP:
            return torch_tensors_in(path, size)
        file.seek(0)
        return safetensors_in(path, file, size)
