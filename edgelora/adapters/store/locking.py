"""Locks between processes. flock, because the kernel gives a lock back whichever way its holder ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone in the block among all who lock ``path``, a file that is made if need be. Raises OSError."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Holds:
    """Files that this process uses, so that no other one removes them; given back by :meth:`close`, or at its end."""

    def __init__(self) -> None:
        self._files: dict[Path, BinaryIO] = {}

    def hold(self, path: Path) -> bool:
        """Hold ``path`` from now on. False where it is not there any more."""
        if path in self._files:
            return True
        try:
            file = path.open("rb")
        except OSError:
            return False
        fcntl.flock(file, fcntl.LOCK_SH)  # who removes it has it for a moment
        if not path.exists():
            file.close()
            return False
        self._files[path] = file
        return True

    def release(self, path: Path) -> None:
        """Hold ``path`` no longer. Safe to call for what is not held."""
        if path in self._files:
            self._files.pop(path).close()

    def close(self) -> None:
        """Hold nothing any more."""
        for path in list(self._files):
            self.release(path)


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Whether nobody holds ``path``; if so, nobody can begin to in the block. What is not there is unused."""
    try:
        file = path.open("rb")
    except OSError:
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def sync_folder(folder: Path) -> None:
    """Put names that were given and taken in ``folder`` on the disk, as far as the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
