"""The real chat on the embedded demo, killed in the middle of an answer: what was said until then is there again."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest
from support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CTRL_O, CTRL_Q, ESCAPE = "\x0f", "\x11", "\x1b"
WANDERING = ("--temperature", "5", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "5")
"""So that an answer ends late; every token is about equally likely."""


class Turn(NamedTuple):
    """A question and its answer as the file keeps them; ``made_by`` is there once the answer has ended."""

    id: int
    parent: int | None
    prompt: str
    answer: str
    made_by: str | None


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts chats with a history and an adapter folder of their own, one after the other."""
    starter = Starter(tmp_path)
    yield starter
    for terminal in starter.started:
        terminal.close()


class Starter:
    def __init__(self, folder: Path) -> None:
        self.history = folder / "history.sqlite3"
        self.started: list[Terminal] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
            "EDGELORA_HISTORY": str(self.history),
            "EDGELORA_ADAPTERS": str(folder),
            "EDGELORA_CHAT_STATE": str(folder / "chat.json"),
            "EDGELORA_THREADS": "1",
            "TERM": "xterm-256color",
        }

    def __call__(self) -> Terminal:
        command = [sys.executable, "-m", "edgelora.cli", "chat", *WANDERING]
        self.started.append(Terminal(command, columns=100, rows=30, environment=self._environment))
        return self.started[-1]

    def turns(self) -> list[Turn]:
        """What the file holds now; reading never waits for the chat, nor the chat for it."""
        try:
            with closing(sqlite3.connect(f"file:{self.history}?mode=ro", uri=True)) as file:
                rows = file.execute("SELECT id, parent, prompt, answer, made_by FROM turns ORDER BY id").fetchall()
        except sqlite3.OperationalError:  # it is not there yet
            return []
        return [Turn(*row) for row in rows]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_was_said_until_the_last_second_is_there_after_kill_9(start: Starter) -> None:
    first = start()
    first.wait_for(r"context\s+2,048")
    begin_answer(first, start, "Hello there", 1)
    first.send(ESCAPE)
    first.until(lambda: start.turns()[0].made_by is not None)

    stopped = stop_in_the_middle(first, start)
    kept = stopped.answer
    first.process.kill()
    first.process.wait()
    assert start.turns()[-1] == stopped

    second = start()
    second.wait_for("earlier conversation: Hello there")
    second.send(CTRL_O)
    second.wait_for(f"{len(start.turns())} turns")
    second.send("\r")
    second.wait_for(r"[\d,]+ tokens")  # under the answer it goes on from; the first screen has the title too
    begin_answer(second, start, "And now?", len(start.turns()) + 1)
    second.send(ESCAPE)
    second.until(lambda: start.turns()[-1].made_by is not None)
    second.send(CTRL_Q)
    assert second.wait_for_exit() == 0

    *before, broken_off, last = start.turns()
    assert (broken_off.prompt, broken_off.answer, broken_off.made_by) == (stopped.prompt, kept, None)
    assert last.parent == before[-1].id, "what was broken off is kept, outside the branch that goes on"
    assert before[0].prompt == "Hello there"


def begin_answer(terminal: Terminal, start: Starter, prompt: str, n_turns: int) -> None:
    """Ask, and wait until some of the answer is kept."""
    terminal.send(f"{prompt}\r")
    terminal.until(lambda: len(start.turns()) == n_turns and bool(start.turns()[-1].answer.strip()))


def stop_in_the_middle(terminal: Terminal, start: Starter) -> Turn:
    """Stop the chat, as the system would for a moment, while an answer is kept that has not ended; asks until then.

    Returns the turn of that answer.
    """
    for number in range(20):
        begin_answer(terminal, start, f"Tell me everything, part {number}", len(start.turns()) + 1)
        terminal.process.send_signal(signal.SIGSTOP)
        terminal.until(lambda: psutil.Process(terminal.process.pid).status() == psutil.STATUS_STOPPED)
        turn = start.turns()[-1]
        if turn.made_by is None:
            return turn
        terminal.process.send_signal(signal.SIGCONT)
    raise AssertionError("every answer ended at once")
