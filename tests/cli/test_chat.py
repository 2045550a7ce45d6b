from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Edgelora


def test_without_a_terminal_it_names_run(edgelora: Edgelora) -> None:
    outcome = edgelora("chat")
    assert (outcome.code, outcome.out) == (2, "")
    assert "edgelora run" in outcome.err


class Terminal:
    """``edgelora chat`` in a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        command = [sys.executable, "-m", "edgelora.cli", "chat", "--threads", "1", *arguments]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.shown = ""

    def wait_for(self, text: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while text not in self.shown and time.monotonic() < end:
            if select.select([self._ours], [], [], 0.2)[0]:
                self.shown += os.read(self._ours, 65536).decode("utf-8", "replace")
        assert text in self.shown, self.shown[-2000:]

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    opened.close()


def test_it_opens_the_engine_beside_the_screen_and_quits(terminal: Terminal) -> None:
    terminal.wait_for("opening")
    terminal.wait_for("context")  # what the engine says about the base
    terminal.press("\x11")
    terminal.wait_for("\x1b[?1049l")  # back on the screen of before
    assert terminal.process.wait(timeout=60) == 0
    assert "Traceback" not in terminal.shown
