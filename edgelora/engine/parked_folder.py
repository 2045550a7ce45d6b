"""Parked sequences on disk: written beside the engine's steps, found again after a restart, checked before use."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from edgelora.engine import parked_file
from edgelora.engine.parked_file import ParkedFile
from edgelora.engine.shelf import Parked, Shelf
from edgelora.gguf.replacing import remove_abandoned
from edgelora.native.sequences import SavedState
from edgelora.types import Selection

_NAME = re.compile(r"[0-9a-f]{24}\.parked")
_UNFINISHED = re.compile(rf"(\.{_NAME.pattern}\.[0-9a-f]+)\.part")  # as edgelora.gguf.replacing names them
BEHIND = 2**28
"""Bytes that may wait to be written, beside what parking may take of memory."""

LARGEST = 8 * 2**30
"""Bytes that a folder takes at most, and a quarter of what is free there."""


class ParkedFolder:
    """The parked sequences of ``owner`` in ``folder``; those of others count against the ``budget`` of bytes too.

    Reading happens in the caller's thread, writing in one of its own. What comes while more than ``BEHIND`` bytes wait
    to be written is not kept. A disk that is full or gone is no error.
    """

    def __init__(self, folder: Path, owner: str, budget: int | None = None) -> None:
        self._folder, self._owner = folder, owner
        self._writer = ThreadPoolExecutor(1, "edgelora-parking")
        self._writing: deque[tuple[Future[ParkedFile | None], int]] = deque()
        self._paths: dict[Parked, Path] = {}
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._shelf = Shelf(_usual_budget(folder) if budget is None else budget)
        self._find_all()

    @property
    def n_bytes(self) -> int:
        """Bytes on disk, without what is being written."""
        return self._shelf.n_bytes

    def put(self, selection: Selection, tokens: list[int], state: SavedState) -> bool:
        """Have what was saved written. False where the disk is too slow for it or it is too large."""
        self._collect(wait=False)
        size = state.data.nbytes
        behind = sum(waiting for _, waiting in self._writing)
        if size > self._shelf.budget or (behind and behind + size > BEHIND):
            return False
        path = self._folder / f"{secrets.token_hex(12)}.parked"
        self._writing.append((self._writer.submit(_written, path, self._owner, selection, tokens, state), size))
        return True

    def best(self, under: Selection, wanted: list[int], most: int) -> tuple[Parked | None, int]:
        """As :meth:`Shelf.best`."""
        self._collect(wait=False)
        return self._shelf.best((self._owner, under), wanted, most)

    def covers(self, under: Selection, tokens: list[int]) -> bool:
        """As :meth:`Shelf.covers`."""
        return self._shelf.covers((self._owner, under), tokens)

    def touch(self, entry: Parked) -> None:
        """``entry`` was used."""
        if entry in self._paths:
            self._shelf.touch(entry)
            with suppress(OSError):
                os.utime(self._paths[entry])

    def remove(self, entry: Parked) -> None:
        """Remove the file of ``entry``."""
        self._shelf.remove(entry)
        path = self._paths.pop(entry, None)
        if path:
            with suppress(OSError):
                path.unlink()

    def clear(self) -> None:
        """Remove what this owner has parked."""
        self._collect(wait=True)
        for entry in list(self._paths):
            if isinstance(entry.under, tuple) and entry.under[0] == self._owner:
                self.remove(entry)

    def close(self) -> None:
        """Wait for what is being written."""
        self._collect(wait=True)
        self._writer.shutdown()

    def _find_all(self) -> None:
        """Read the headers of all files, least recently used first. What is not whole is removed, but nothing else."""
        with suppress(OSError):
            paths = list(self._folder.iterdir())
            for unfinished in filter(None, (_UNFINISHED.fullmatch(path.name) for path in paths)):
                remove_abandoned(self._folder, unfinished[1])
            ours = (path for path in paths if _NAME.fullmatch(path.name))
            for path in sorted(ours, key=lambda path: path.stat().st_mtime_ns):
                found = parked_file.read(path)
                if found:
                    self._add(found)
                else:
                    path.unlink()

    def _collect(self, *, wait: bool) -> None:
        while self._writing and (wait or self._writing[0][0].done()):
            written = self._writing.popleft()[0].result()
            if written:
                self._add(written)

    def _add(self, file: ParkedFile) -> None:
        entry = Parked((file.owner, file.selection), file.tokens, file.shortest, file.n_bytes, file.load)
        self._paths[entry] = file.path
        for old in [*self._shelf.covered_by(entry), *self._shelf.add(entry)]:
            self.remove(old)


def _written(path: Path, owner: str, selection: Selection, tokens: list[int], state: SavedState) -> ParkedFile | None:
    try:
        return parked_file.write(path, owner, selection, tokens, state)
    except OSError:
        return None


def _usual_budget(folder: Path) -> int:
    try:
        return min(LARGEST, shutil.disk_usage(folder).free // 4)
    except OSError:
        return 0
