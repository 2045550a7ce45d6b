"""A file that takes its name only when it is complete, whatever happens before."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgelora.errors import MergeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(out: Path, size: int) -> Iterator[Path]:
    """A temporary path beside ``out`` that takes its place once the block ends, and vanishes if it fails.

    Room for ``size`` bytes is asked for first. What processes that were killed have left behind is removed; the lock
    on a temporary file tells whether somebody still writes it. Raises MergeError where the file cannot be written.
    """
    if out.is_dir():
        raise MergeError(f"{out}: this is a folder", "Name the file to write.")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        remove_abandoned(out.parent, glob.escape(out.name))
        _require_room(out, size)
        with temporary.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield temporary
            os.fsync(file.fileno())
            os.replace(temporary, out)
    except OSError as error:
        raise MergeError(f"{out}: cannot be written ({error.strerror})", "Nothing was left behind.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _require_room(out: Path, size: int) -> None:
    free = shutil.disk_usage(out.parent).free
    if free < size:
        raise MergeError(
            f"{out}: {size / 1e9:.2f} GB are needed on this disk, {free / 1e9:.2f} GB are free",
            "Make room, or write to another disk.",
        )


def remove_abandoned(folder: Path, pattern: str = "*") -> None:
    """Remove what killed processes have left behind of files whose names match ``pattern``."""
    for path in folder.glob(f".{pattern}.*.part"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            path.unlink(missing_ok=True)
