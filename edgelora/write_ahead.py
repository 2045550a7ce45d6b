"""SQLite files that several processes write at once: with a write-ahead log, so that a killed one damages nothing."""

from __future__ import annotations

import sqlite3
import time

_PAUSE_S = 0.005


def log_ahead(database: sqlite3.Connection, patience_s: float) -> None:
    """Have ``database`` log ahead what it writes. Raises sqlite3.Error.

    SQLite's own timeout does not cover this step: whoever opens a new file while another process does would be refused.
    """
    until = time.monotonic() + patience_s
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
        else:
            break
    database.execute("PRAGMA synchronous = NORMAL")  # a power cut costs the last changes, not the file
