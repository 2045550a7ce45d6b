"""Where a merged file goes: room for it is asked for first, and it takes its name only when it is complete."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import MergeError
from edgelora.gguf import replacing as files

if TYPE_CHECKING:
    from collections.abc import Iterator


def require_place(out: Path) -> None:
    """Raise MergeError where no file could be written as ``out``: said before minutes of work, not after them."""
    try:
        if out.is_dir():
            raise MergeError(f"{out}: this is a folder", "Name the file to write.")
        if _exists(out) and not out.is_file():
            raise MergeError(f"{out}: this is no ordinary file", "Name another file to write.")
        folder = out.resolve().parent
        if not folder.is_dir():
            raise MergeError(f"{out}: cannot be written (there is no folder {folder})", "Make it first.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise MergeError(f"{out}: cannot be written (nothing may be written to {folder})", "Name another folder.")
        with files.temporary_beside(out.resolve()):
            pass  # rights do not tell all: no file can be made in /proc
    except OSError as error:
        raise MergeError(f"{out}: cannot be written ({error.strerror})", "Name another file to write.") from None


def _exists(path: Path) -> bool:
    """Also where it is a link; raises OSError where that leads round in a circle, or a name is too long."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def replacing(out: Path, size: int) -> Iterator[Path]:
    """A temporary path beside ``out`` that takes its place once the block ends, and vanishes if it fails.

    Raises MergeError where ``size`` bytes have no room or the file cannot be written.
    """
    require_place(out)
    try:
        with files.replacing(out) as temporary:
            _require_room(out, size)
            yield temporary
    except OSError as error:
        raise _unwritable(out, error) from None


@contextmanager
def scratch(out: Path, size: int) -> Iterator[Path]:
    """A temporary path beside ``out`` that vanishes when the block ends.

    Raises MergeError where ``size`` bytes have no room or the file cannot be written.
    """
    try:
        with files.temporary_beside(out.resolve()) as file:
            _require_room(out, size)
            yield Path(file.name)
    except OSError as error:
        raise _unwritable(out, error) from None


def _unwritable(out: Path, error: OSError) -> MergeError:
    return MergeError(f"{out}: cannot be written ({error.strerror})", "Nothing was left behind.")


def _require_room(out: Path, size: int) -> None:
    free = shutil.disk_usage(out.resolve().parent).free
    if free < size:
        raise MergeError(
            f"{out}: {size / 2**20:,.0f} MiB are needed on this disk, {free / 2**20:,.0f} are free",
            "Make room, or write to another disk.",
        )
