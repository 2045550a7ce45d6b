"""The history's file: opened, brought to this version's tables, and its errors in words that people understand."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgelora.errors import HistoryError
from edgelora.write_ahead import log_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = 1
"""``user_version`` of the file. A file of a newer edgelora is refused, not changed."""

BUSY_S = 5.0
"""Seconds to wait while another edgelora writes."""

_TABLES = """
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    base TEXT NOT NULL,
    system TEXT NOT NULL,
    sampling TEXT,
    head INTEGER,
    created REAL NOT NULL,
    updated REAL NOT NULL
) STRICT;
CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
    parent INTEGER REFERENCES turns ON DELETE CASCADE,
    prompt TEXT NOT NULL,
    answer TEXT NOT NULL,
    selection TEXT NOT NULL,
    asked REAL NOT NULL,
    base TEXT NOT NULL,
    made_by TEXT
) STRICT;
CREATE INDEX turns_of_a_conversation ON turns (conversation);
CREATE INDEX turns_of_a_parent ON turns (parent);
"""


def open_database(path: Path) -> sqlite3.Connection:
    """The database at ``path``, made if there is none. Raises HistoryError.

    What was committed survives a killed process: changes go into a write-ahead log.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            log_ahead(connection, BUSY_S)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.create_function("folded", 1, lambda text: (text or "").casefold(), deterministic=True)
            _upgrade(path, connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(path: Path, connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is done in here, or nothing. Raises HistoryError."""
    with explained(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if connection.in_transaction:  # a full disk ends it by itself
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What SQLite or the system raise in here becomes a HistoryError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise HistoryError(f"{path}: {error}", _hint(error)) from error
    except OSError as error:
        raise HistoryError(f"{error.filename or path}: {error.strerror or error}", _ELSEWHERE) from error


def _upgrade(path: Path, connection: sqlite3.Connection) -> None:
    with transaction(path, connection):
        [found] = connection.execute("PRAGMA user_version").fetchone()
        if found > VERSION:
            raise HistoryError(f"{path} was written by a newer edgelora", "Update edgelora, or name another file.")
        if found == 0:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")


_ELSEWHERE = "Conversations are not kept meanwhile. EDGELORA_HISTORY names another file."


def _hint(error: sqlite3.DatabaseError) -> str:
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return "The file is damaged. Move it away; a new one is made."
    if "full" in text:
        return "Free some space on that disk; what was kept before is safe."
    return _ELSEWHERE
