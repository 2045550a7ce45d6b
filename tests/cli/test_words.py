"""What people see beside the answer: progress, and pages that are written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from edgelora_convert.sources.hub.resuming import WAITING

from edgelora.cli.outputs import write_text
from edgelora.cli.progress import ProgressBar
from edgelora.errors import EdgeloraError
from edgelora.types import Progress

if TYPE_CHECKING:
    from pathlib import Path


def steps(bar: ProgressBar) -> None:
    with bar:
        for done in range(3):
            bar(Progress("loading the base", done, 2, "%"))


def test_nothing_is_drawn_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    steps(ProgressBar())
    assert capfd.readouterr() == ("", "")


def test_waiting_for_another_process_is_said_once_whoever_watches(capfd: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as bar:
        for _ in range(2):
            bar(Progress(WAITING, 0, 100, "bytes"))
    assert capfd.readouterr() == ("", f"edgelora: {WAITING}\n")


@pytest.mark.parametrize(("patience", "drawn"), [(0.0, True), (60.0, False)])
def test_what_takes_long_is_drawn_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, patience: float, drawn: bool
) -> None:
    monkeypatch.setattr("edgelora.cli.progress.PATIENCE_S", patience)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    steps(ProgressBar())
    out, err = capsys.readouterr()
    assert out == ""
    assert ("loading the base" in err) is drawn


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    write_text(page, "one")
    write_text(page, "two")
    assert page.read_text() == "two"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EdgeloraError, match="No space left"):
        write_text(page, "three")
    assert page.read_text() == "two"
    assert list(tmp_path.iterdir()) == [page]
