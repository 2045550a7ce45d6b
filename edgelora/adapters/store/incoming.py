"""A folder for what is being added, which vanishes in any case."""

from __future__ import annotations

import fcntl
import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK = "lock"


@contextmanager
def incoming(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent`` for the block; what killed processes have left there goes too. Raises OSError."""
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    folder = parent / secrets.token_hex(8)
    new = parent / f".{folder.name}"  # without a lock it would look abandoned, so it gets its name when it has one
    new.mkdir()
    try:
        with (new / _LOCK).open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            new.rename(folder)
            yield folder
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob("[!.]*"):
        with suppress(OSError), (folder / _LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
