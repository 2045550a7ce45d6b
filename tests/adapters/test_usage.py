"""Counting what adapters are used for."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgelora.adapters.store.usage import UsageCounts
from edgelora.types import AttestedAdapter, Finished

if TYPE_CHECKING:
    from pathlib import Path

LEGAL, MEDICAL = (AttestedAdapter(f"{name}@1", name.ljust(64, "0"), 1.0) for name in ("legal", "medical"))
ANSWER = Finished("r", "stop", (LEGAL,), 5, 0, 7, 1.0, 10.0)


def counted(counts: UsageCounts) -> dict[str, tuple[int, int]]:
    return {usage.name: (usage.runs, usage.tokens) for usage in counts.read().values()}


def test_every_adapter_of_an_answer_is_counted_and_outlives_a_restart(tmp_path: Path) -> None:
    counts = UsageCounts(tmp_path)
    assert counted(counts) == {}
    counts.count(ANSWER)
    counts.count(replace(ANSWER, adapters=(LEGAL, MEDICAL), completion_tokens=3))
    counts.count(replace(ANSWER, completion_tokens=0))
    counts.count(replace(ANSWER, adapters=()))
    assert counted(UsageCounts(tmp_path)) == {"legal@1": (2, 10), "medical@1": (1, 3)}


def test_several_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgelora.adapters.store.usage._PATIENCE", 60.0)
    with ThreadPoolExecutor(4) as pool:
        for counts in [UsageCounts(tmp_path) for _ in range(4)]:
            for _ in range(10):
                pool.submit(counts.count, ANSWER)
    assert counted(UsageCounts(tmp_path)) == {"legal@1": (40, 280)}


def test_a_newer_name_for_the_same_content(tmp_path: Path) -> None:
    counts = UsageCounts(tmp_path)
    counts.count(ANSWER)
    counts.count(replace(ANSWER, adapters=(replace(LEGAL, name="law@1"),)))
    assert counted(counts) == {"law@1": (2, 14)}


def test_counts_that_cannot_be_kept_disturb_nobody(tmp_path: Path) -> None:
    (tmp_path / ".library").mkdir()
    file = tmp_path / ".library" / "usage.sqlite3"
    file.write_bytes(b"no database" * 100)
    UsageCounts(tmp_path).count(ANSWER)
    assert counted(UsageCounts(tmp_path)) == {}
    file.unlink()
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE usage (something INTEGER)")
    other.close()
    UsageCounts(tmp_path).count(ANSWER)
    assert counted(UsageCounts(tmp_path)) == {}
    (tmp_path / "file").touch()
    UsageCounts(tmp_path / "file").count(ANSWER)
