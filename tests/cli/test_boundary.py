from __future__ import annotations

import errno
import os
from pathlib import Path

import click
import pytest

from edgelora.cli.boundary import guarded
from edgelora.config import locations
from edgelora.errors import EdgeloraError, EngineError, UsageError


def failing_with(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(("error", "code"), [(EngineError("It broke.", "Mend it."), 1), (UsageError("No."), 2)])
def test_an_expected_error_is_its_message_and_its_code(
    capsys: pytest.CaptureFixture[str], error: EdgeloraError, code: int
) -> None:
    assert guarded(failing_with(error), []) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"edgelora: {error}\n")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EIO])
def test_what_the_system_does_not_allow_is_said_in_its_words(capsys: pytest.CaptureFixture[str], number: int) -> None:
    assert guarded(failing_with(OSError(number, os.strerror(number), "/some/file")), []) == 1
    assert capsys.readouterr() == ("", f"edgelora: /some/file: {os.strerror(number)}\n")


def test_an_interruption_is_130_without_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(failing_with(KeyboardInterrupt()), []) == 130
    out, err = capsys.readouterr()
    assert (out, err.strip()) == ("", "")


def test_want_of_memory_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(failing_with(MemoryError()), []) == 1
    assert capsys.readouterr() == ("", "edgelora: there is too little memory for this\n")


def test_an_unexpected_error_is_one_line_and_a_log(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locations, "log_dir", lambda: tmp_path / "logs")
    assert guarded(failing_with(ZeroDivisionError("by\nzero")), []) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("edgelora: internal error: ZeroDivisionError: by zero (details in ")
    log = Path(err.rpartition("details in ")[2].rstrip(")\n"))
    assert log.parent == tmp_path / "logs"
    assert "Traceback" in log.read_text()


def test_a_log_folder_that_cannot_be_written_is_no_second_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(locations, "log_dir", lambda: tmp_path / "file" / "logs")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert guarded(failing_with(ZeroDivisionError()), []) == 1
    assert str(tmp_path) in capsys.readouterr().err
