"""What a merge needs meanwhile does not outlive it."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgelora.errors import MergeError
from edgelora.merge.workspace import workspace

ROOT = Path(__file__).parents[2]
HELD = """
import time
from edgelora.merge.workspace import workspace
with workspace() as folder:
    (folder / "inputs").mkdir()
    (folder / "inputs" / "0.npy").write_bytes(b"large")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def own_tempdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_it_vanishes_whatever_happens(tmp_path: Path) -> None:
    def interrupted() -> None:
        with workspace() as folder:
            (folder / "file").write_bytes(b"large")
            assert list(tmp_path.iterdir()) == [folder]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_what_the_killed_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    command, environment = [sys.executable, "-c", HELD], {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "edgelora-merge-notes").write_text("somebody's file")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with workspace():
            assert (left / "inputs" / "0.npy").exists()
        process.kill()
    assert left.exists()
    with workspace() as folder:
        assert sorted(tmp_path.iterdir()) == sorted([folder, tmp_path / "edgelora-merge-notes"])


def test_without_a_place_it_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(MergeError, match="no place for temporary files") as refused, workspace():
        pytest.fail("there is no place")
    assert "TMPDIR" in refused.value.hint


def test_without_locks_it_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(MergeError, match="No locks available"), workspace():
        pytest.fail("there is no lock")
