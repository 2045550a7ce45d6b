"""The real program when its terminal goes away without a signal, as under nohup."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from support.terminal import Terminal

from edgelora.chat.history.store import History

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IGNORING_HANGUPS = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture
def terminal(tmp_path: Path, history: Path) -> Iterator[Terminal]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment = {
        **inherited,
        "EDGELORA_ADAPTERS": str(tmp_path),
        "EDGELORA_CHAT_STATE": str(tmp_path / "chat.json"),
        "EDGELORA_HISTORY": str(history),
        "EDGELORA_THREADS": "1",
        "TERM": "xterm-256color",
    }
    command = [*IGNORING_HANGUPS, sys.executable, "-m", "edgelora.cli", "chat", "--temperature", "0", "--ctx", "512"]
    started = Terminal(command, columns=100, rows=30, environment=environment)
    yield started
    started.close()


def test_it_ends_in_the_middle_of_an_answer_and_keeps_it(terminal: Terminal, history: Path) -> None:
    terminal.wait_for("Ask something")
    terminal.send("Write a long story about a lighthouse.\r")
    terminal.wait_for("● base · TTFT")
    terminal.send("Write another one, about the sea.\r")
    terminal.wait_for("about the sea")
    terminal.vanish()
    assert terminal.process.wait(timeout=90) == 129  # as of a program that the hang-up's signal ends
    kept = History(history)
    [conversation] = kept.list()
    first, *_ = kept.get(conversation.id).turns
    kept.close()
    assert (first.prompt, bool(first.answer)) == ("Write a long story about a lighthouse.", True)
