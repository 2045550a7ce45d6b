"""The files that a merge reads, as they were when it began: of one that is replaced meanwhile a mixture would come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.errors import MergeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FileState = tuple[int, int, int, int]
"""Which file it is, and what changes when it is written to: device, number, size, time of the last change in ns."""


def states_of(files: Iterable[Path]) -> Mapping[Path, FileState]:
    """What ``files`` are now. Raises MergeError where one is gone."""
    return {path: _state(path) for path in files}


def require_unchanged(states: Mapping[Path, FileState]) -> None:
    """Raise MergeError where a file is no longer what it was."""
    for path, state in states.items():
        if _state(path) != state:
            raise MergeError(f"{path}: it was changed or replaced while it was merged", "Merge again.")


def _state(path: Path) -> FileState:
    try:
        found = path.stat()
    except OSError as error:
        raise MergeError(f"{path}: it was taken away while it was merged ({error.strerror})") from None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
