"""A file that takes its name only when it is complete, whatever happens before."""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN_NAME = 100  # of 255 bytes, so that a temporary name is no longer than a file's may be


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that takes its place once the block ends, and vanishes if it fails.

    Where ``target`` is a link, the file that it leads to is replaced. Raises OSError.
    """
    target = target.resolve()
    with temporary_beside(target) as file:
        yield Path(file.name)
        os.fsync(file.fileno())
        os.replace(file.name, target)


@contextmanager
def temporary_beside(target: Path) -> Iterator[BinaryIO]:
    """An empty file beside ``target`` that vanishes when the block ends.

    What processes that were killed have left behind is removed: the lock on a temporary file tells whether somebody
    still writes it. Raises OSError.
    """
    start = f".{target.name[:_SHOWN_NAME]}."
    remove_abandoned(target.parent, start)
    temporary, file = _created(target.parent, start)
    try:
        with file:
            yield file
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
