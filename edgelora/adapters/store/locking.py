"""Locks between processes. flock, because the kernel gives a lock back whichever way its holder ends."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 2.0
"""So long a process may take to remove a file, before it counts as removed for who wants to use it."""
_LOCKS = Path("/proc/locks")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone in the block among all who lock ``path``, a file that is made if need be. Raises OSError."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Holds:
    """Files that this process uses, so that no other one removes them; given back with this object at the latest.

    Methods may be called in any thread.
    """

    def __init__(self) -> None:
        self._held: dict[Path, int] = {}  # descriptors
        self._changing = threading.Lock()
        weakref.finalize(self, _close, self._held)

    def hold(self, path: Path) -> bool:
        """Hold ``path`` from now on. False where it is not there any more, or another process is removing it."""
        with self._changing:
            if path in self._held:
                return True
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except OSError:
                return False
            if not _locked_shared(descriptor) or not path.exists():
                os.close(descriptor)
                return False
            self._held[path] = descriptor
            return True

    def release(self, path: Path) -> None:
        """Hold ``path`` no longer. Safe to call for what is not held."""
        with self._changing:
            if path in self._held:
                os.close(self._held.pop(path))


def _locked_shared(descriptor: int) -> bool:
    """Whether the lock was got: who removes a file has it for a moment, and for ever if it is stopped meanwhile."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        else:
            return True


def _close(held: dict[Path, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)


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


def holders(path: Path) -> list[int]:
    """The processes that hold ``path``, as far as the system tells; only Linux does (proc_locks(5))."""
    try:
        inode = str(path.stat().st_ino)
        locks = [line.split() for line in _LOCKS.read_text(encoding="ascii").splitlines()]
        found = {int(lock[4]) for lock in locks if lock[1] == "FLOCK" and lock[5].rpartition(":")[2] == inode}
    except (OSError, ValueError, IndexError):
        return []
    return sorted(process for process in found if process > 0)


def sync_folder(folder: Path) -> None:
    """Put names that were given and taken in ``folder`` on the disk, as far as the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
