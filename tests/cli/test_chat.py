from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from support.terminal import ALTERNATE_SCREEN, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Edgelora


def test_without_a_terminal_it_names_run(edgelora: Edgelora) -> None:
    outcome = edgelora("chat")
    assert (outcome.code, outcome.out) == (2, "")
    assert "edgelora run" in outcome.err


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    own = {"EDGELORA_ADAPTERS": str(tmp_path), "EDGELORA_CHAT_STATE": str(tmp_path / "chat.json")}
    command = [sys.executable, "-m", "edgelora.cli", "chat", "--threads", "1"]
    opened = Terminal(command, columns=100, rows=30, environment={**inherited, **own, "TERM": "xterm-256color"})
    yield opened
    opened.close()


@pytest.mark.timeout(400)
def test_it_opens_the_engine_beside_the_screen_and_quits(terminal: Terminal) -> None:
    terminal.wait_for("opening")
    terminal.wait_for("context")  # what the engine says about the base
    terminal.send("\x11")
    assert terminal.wait_for_exit(90) == 0
    assert ALTERNATE_SCREEN[1] in terminal.written  # back on the screen of before
    assert b"Traceback" not in terminal.written
