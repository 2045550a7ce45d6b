"""Files that take their name only when they are complete."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from edgelora.gguf.replacing import replacing

if TYPE_CHECKING:
    from pathlib import Path


def test_the_target_stays_until_the_end(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("before")
    with replacing(target) as temporary:
        temporary.write_text("after")
        assert target.read_text() == "before"
    assert (target.read_text(), os.listdir(tmp_path)) == ("after", ["file"])


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("before")
    with pytest.raises(KeyboardInterrupt), replacing(target) as temporary:  # noqa: PT012 - both happen inside
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert (target.read_text(), os.listdir(tmp_path)) == ("before", ["file"])


def test_a_link_keeps_leading_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    real.write_text("before")
    link.symlink_to(real)
    with replacing(link) as temporary:
        temporary.write_text("after")
    assert (link.is_symlink(), real.read_text()) == (True, "after")


def test_only_what_was_abandoned_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "file"
    for name in (".file.dead.part", ".another.dead.part"):
        (tmp_path / name).write_text("half")
    with replacing(target) as first:
        first.write_text("first")
        with replacing(target) as second:
            second.write_text("second")
        assert first.exists()
    assert sorted(os.listdir(tmp_path)) == [".another.dead.part", "file"]
    assert target.read_text() == "first"


def test_many_at_once(tmp_path: Path) -> None:
    """The last one wins, and nobody sees anything half-written."""
    target = tmp_path / "file"
    failed = []

    def write(number: int) -> None:
        try:
            for _ in range(20):
                with replacing(target) as temporary:
                    temporary.write_text(str(number) * 1000)
                assert len(set(target.read_text())) == 1
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failed, os.listdir(tmp_path)) == ([], ["file"])
