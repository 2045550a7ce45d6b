"""Has the adapter folder changed? Found by looking at names, sizes and times, which works on every system and disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Looks = tuple[tuple[str, int, int], ...]
"""Name, size and time of change of a file, or of each file in a folder."""


class FolderWatch:
    """Compares one look at ``folder`` with the one before.

    ``unsettled`` are the paths in it that looked different then: somebody is still writing them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = self._looks()
        self._known = self._before
        self.unsettled: frozenset[Path] = frozenset()

    def has_changed(self) -> bool:
        """Whether anything came, went, or settled in another form since the last time that this was so."""
        now = self._looks()
        moving = {path for path, looks in now.items() if self._before.get(path) != looks}
        settled = {path: looks for path, looks in now.items() if path not in moving}
        kept = {path: looks for path, looks in self._known.items() if path in moving}
        changed = settled | kept != self._known
        self._before, self._known = now, settled | kept
        self.unsettled = frozenset(moving)
        return changed

    def _looks(self) -> dict[Path, _Looks]:
        try:
            paths = list(self._folder.glob("[!.]*"))
        except OSError:
            return {}
        return {path: looks for path in paths if (looks := tuple(_files(path)))}


def _files(path: Path) -> Iterator[tuple[str, int, int]]:
    try:
        if not path.is_dir():
            stat = path.stat()
            yield path.name, stat.st_size, stat.st_mtime_ns
            return
        with os.scandir(path) as found:
            for each in sorted(found, key=lambda each: each.name):
                stat = each.stat()
                yield each.name, stat.st_size, stat.st_mtime_ns
    except OSError:  # it has gone meanwhile, or nobody may look
        return
