"""How much each adapter is used: runs, tokens, when last. SQLite, so that processes may count at once and be killed."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.adapters.store.store import FOLDER
from edgelora.write_ahead import log_ahead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgelora.types import AttestedAdapter, Finished

_TABLE = """
CREATE TABLE IF NOT EXISTS usage (
    sha256 TEXT PRIMARY KEY, name TEXT NOT NULL, runs INTEGER NOT NULL, tokens INTEGER NOT NULL, last REAL NOT NULL
) WITHOUT ROWID
"""
_COUNT = """
INSERT INTO usage VALUES (?, ?, 1, ?, ?) ON CONFLICT (sha256) DO UPDATE
SET name = excluded.name, runs = runs + 1, tokens = tokens + excluded.tokens, last = max(last, excluded.last)
"""
_ALL = "SELECT sha256, name, runs, tokens, last FROM usage"
_PATIENCE = 2.0
"""Seconds that a count waits for another process."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an adapter was used for: answers, tokens in them, and when last, in seconds since 1970.

    ``name`` is what it was called then. An answer by a mixture counts for each of its adapters.
    """

    sha256: str
    name: str
    runs: int
    tokens: int
    last: float


class UsageCounts:
    """Counts beside the library in an adapter folder. They are an extra: where they cannot be kept, nothing is said."""

    def __init__(self, adapters: Path) -> None:
        self._path = adapters / FOLDER / "usage.sqlite3"

    def count(self, made: Finished) -> None:
        """Count an answer for each adapter that it was made with. Takes well below a millisecond."""
        if made.adapters and made.completion_tokens:
            self.count_all(made.adapters, made.completion_tokens)

    def count_all(self, adapters: Sequence[AttestedAdapter], tokens: int) -> None:
        """Count one answer of so many tokens for all of ``adapters``."""
        now = time.time()
        rows = [(adapter.sha256, adapter.name, tokens, now) for adapter in adapters]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.executemany(_COUNT, rows)
        except (sqlite3.Error, OSError):
            return

    def read(self) -> dict[str, Usage]:
        """What was counted, by content hash."""
        for how in ("mode=rw", "immutable=1"):  # the second where nothing can be written, as SQLite's log must be
            with suppress(sqlite3.Error), closing(self._open_to_read(how)) as database:
                return {row[0]: Usage(*row) for row in database.execute(_ALL)}
        return {}

    def _open_to_read(self, how: str) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._path.absolute().as_uri()}?{how}", timeout=_PATIENCE, uri=True)

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_PATIENCE)
        log_ahead(database, _PATIENCE)
        database.execute(_TABLE)
        return database
