"""A file that takes its name only when it is complete, whatever happens before."""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ABANDONED_S = 60
"""What is younger may just have been created, and not been locked yet."""

_SHOWN_NAME = 100  # of 255 bytes, so that a temporary name is no longer than a file's may be


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that takes its place once the block ends, and vanishes if it fails.

    Where ``target`` is a link, the file that it leads to is replaced. What processes that were killed have left behind
    is removed: the lock on a temporary file tells whether somebody still writes it. Raises OSError.
    """
    target = target.resolve()
    start = f".{target.name[:_SHOWN_NAME]}."
    _remove_abandoned(target.parent, start)
    temporary = target.with_name(f"{start}{secrets.token_hex(6)}.part")
    try:
        with temporary.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield temporary
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(folder: Path, start: str) -> None:
    for path in folder.glob(f"{glob.escape(start)}*.part"):
        with suppress(OSError), path.open("rb") as file:
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
