"""Several may open a new file at once; SQLite alone refuses some of them (in about one of these rounds in ten)."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from edgelora.chat.history.store import History
from edgelora.write_ahead import log_ahead

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = 4
TIMES = 5


@pytest.mark.parametrize("round_", range(30))
def test_all_who_open_a_new_file_at_once_may_write(tmp_path: Path, round_: int) -> None:
    path = tmp_path / "counts.sqlite3"
    ready = Barrier(AT_ONCE)

    def write(number: int) -> None:
        ready.wait()
        for _ in range(TIMES):
            with closing(sqlite3.connect(path, timeout=60)) as database, database:
                log_ahead(database, 60)
                database.execute("CREATE TABLE IF NOT EXISTS seen (number INTEGER)")
                database.execute("INSERT INTO seen VALUES (?)", (number,))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(write, range(AT_ONCE)))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM seen").fetchone() == (AT_ONCE * TIMES,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_several_chats_may_start_a_history_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for history in pool.map(History, [tmp_path / "history.sqlite3"] * AT_ONCE):
            history.close()


def test_a_file_that_cannot_be_changed_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"these are not the bytes you are looking for" * 50)
    with closing(sqlite3.connect(tmp_path / "none")) as database, pytest.raises(sqlite3.DatabaseError):
        log_ahead(database, 60)


def test_patience_ends(tmp_path: Path) -> None:
    path = tmp_path / "counts.sqlite3"
    with closing(sqlite3.connect(path)) as other, closing(sqlite3.connect(path, timeout=0)) as database:
        other.execute("CREATE TABLE seen (number INTEGER)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            log_ahead(database, 0.02)
