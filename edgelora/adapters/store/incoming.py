"""A folder for what is being added, which vanishes in any case."""

from __future__ import annotations

import fcntl
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgelora.adapters.store.locking import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK = "lock"


@contextmanager
def incoming(parent: Path, lock: Path) -> Iterator[Path]:
    """A new folder in ``parent`` for the block; what killed processes have left there goes too. Raises OSError.

    ``lock`` is held for as long as it takes to make it: whatever has no lock of its own then is abandoned.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / secrets.token_hex(8)
    with locked(lock):
        remove_abandoned(parent)
        folder.mkdir()
        own = (folder / _LOCK).open("xb")
        fcntl.flock(own, fcntl.LOCK_EX)
    with own:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Remove what killed processes have left in ``parent``. To be called with the lock that :func:`incoming` takes."""
    for folder in parent.glob("*"):
        try:
            with (folder / _LOCK).open("rb") as own:
                fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError:
            pass
        shutil.rmtree(folder, ignore_errors=True)
