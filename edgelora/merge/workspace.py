"""A folder for what a merge needs meanwhile, which may be as large as the model: no merge leaves it behind for good."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import MergeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "edgelora-merge-"


@contextmanager
def workspace(parent: Path | None = None) -> Iterator[Path]:
    """A new folder in ``parent``, which vanishes when the block ends; so do those of merges that were killed.

    ``parent`` defaults to the system's folder for such files. Raises MergeError where none can be made.
    """
    try:
        parent = parent or Path(tempfile.gettempdir())
        _remove_abandoned(parent)
        folder, lock = _created(parent)
    except OSError as error:
        raise MergeError(
            f"there is no place for temporary files ({error.strerror})",
            "Set TMPDIR to a folder that can be written to.",
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _created(parent: Path) -> tuple[Path, int]:
    """A new folder that is locked; another merge may take one for abandoned that is not locked yet."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with suppress(FileNotFoundError, BlockingIOError):
            return folder, _locked(folder)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it is in use, or somebody else's
            lock = _locked(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int:
    """A descriptor of ``folder`` with the lock on it. Raises OSError where another process holds that."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(folder)  # it may have been removed before it was locked
    except OSError:
        os.close(lock)
        raise
    return lock
