"""Where a merged file goes: room for it is asked for first, and it takes its name only when it is complete."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgelora.errors import MergeError
from edgelora.gguf import replacing as files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(out: Path, size: int) -> Iterator[Path]:
    """A temporary path beside ``out`` that takes its place once the block ends, and vanishes if it fails.

    Raises MergeError where ``size`` bytes have no room or the file cannot be written.
    """
    if out.is_dir():
        raise MergeError(f"{out}: this is a folder", "Name the file to write.")
    if out.exists() and not out.is_file():
        raise MergeError(f"{out}: this is no ordinary file", "Name another file to write.")
    try:
        with files.replacing(out) as temporary:
            _require_room(out, size)
            yield temporary
    except OSError as error:
        raise MergeError(f"{out}: cannot be written ({error.strerror})", "Nothing was left behind.") from None


def _require_room(out: Path, size: int) -> None:
    free = shutil.disk_usage(out.resolve().parent).free
    if free < size:
        raise MergeError(
            f"{out}: {size / 1e9:.2f} GB are needed on this disk, {free / 1e9:.2f} GB are free",
            "Make room, or write to another disk.",
        )
