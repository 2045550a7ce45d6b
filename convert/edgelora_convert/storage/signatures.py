"""What a file is that should have been something else, by its first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ZIP = b"PK\x03\x04"
GGUF = b"GGUF"
LFS_POINTER = b"version https://git-lfs"
_SAVE_AGAIN = "which is not read here; load it where you trust it, and save the adapter again as safetensors"
_OLD_TORCH = f"it is in PyTorch's format from before version 1.6, {_SAVE_AGAIN}"
_WEB_PAGE = "it is a web page, not the file itself; download the file again, for example with `hf download`"

_SIGNATURES = (
    (LFS_POINTER, "it is only a Git LFS pointer; run `git lfs pull` first"),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", _OLD_TORCH),  # MAGIC_NUMBER of torch/serialization.py
    (GGUF, "it is a GGUF file"),
    (b"ggla", "it is in the old ggla format; convert the original adapter instead"),
    (b"\x93NUMPY", "it is a NumPy file"),
    (b"<!DOCTYPE", _WEB_PAGE),
    (b"<html", _WEB_PAGE),
)
_TAR, _TAR_AT = b"ustar", 257  # what PyTorch wrote before 0.1.10
_PICKLE = b"\x80"


def what_else(path: Path) -> str:
    """What the file at ``path`` is in words, where it holds no tensors that can be read; else empty.

    Raises OSError where it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "it is empty; download or copy it again"
    for signature, reason in _SIGNATURES:
        if start.startswith(signature):
            return reason
    if start[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return _OLD_TORCH
    if start.startswith(_PICKLE) and start[8:9] != b"{":  # where the JSON of a safetensors file begins
        return f"it is a bare pickle, {_SAVE_AGAIN}"
    return ""


def begins_with(path: Path, signature: bytes) -> bool:
    """Whether the first bytes of the file are ``signature``. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(signature)) == signature
