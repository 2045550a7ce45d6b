"""A file that takes its name only when it is complete, whatever happens before."""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHOWN_NAME = 100  # of 255 bytes, so that a temporary name is no longer than a file's may be


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that takes its place once the block ends, and vanishes if it fails.

    Where ``target`` is a link, the file that it leads to is replaced. What processes that were killed have left behind
    is removed: the lock on a temporary file tells whether somebody still writes it. Raises OSError.
    """
    target = target.resolve()
    start = f".{target.name[:_SHOWN_NAME]}."
    remove_abandoned(target.parent, start)
    temporary, file = _created(target.parent, start)
    try:
        with file:
            yield temporary
            os.fsync(file.fileno())
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _created(folder: Path, start: str) -> tuple[Path, BinaryIO]:
    """A new file that is locked; another process may take one for abandoned that is not locked yet."""
    while True:
        temporary = folder / f"{start}{secrets.token_hex(6)}.part"
        file = temporary.open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if temporary.exists():
            return temporary, file
        file.close()


def remove_abandoned(folder: Path, start: str = ".") -> None:
    """Remove the temporary files that killed processes have left in ``folder``, by the start of their names."""
    for path in folder.glob(f"{glob.escape(start)}*.part"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
