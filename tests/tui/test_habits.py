"""The real program does what good terminal programs do; run it with ``scripts/test -m slow``."""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from support.terminal import ALTERNATE_SCREEN, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Terminal]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CTRL_Q, CTRL_Z, ESCAPE = "\x11", "\x1a", "\x1b"
PASTE = "\x1b[200~{}\x1b[201~"
WANDERING = ("--temperature", "5", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "7")
"""So that an answer ends late."""
COLOUR = re.compile(rb"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[\d;]*)?m")
"""An escape sequence that sets a colour other than the terminal's own (ECMA-48, SGR)."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the chat on the demo, at 100x30 unless it is said otherwise, and ends it."""
    started: list[Terminal] = []

    def run(*options: str, columns: int = 100, rows: int = 30, **environment: str) -> Terminal:
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        environment = {
            **inherited,
            "EDGELORA_ADAPTERS": str(tmp_path),
            "EDGELORA_CHAT_STATE": str(tmp_path / "chat.json"),
            "EDGELORA_HISTORY": str(tmp_path / "history.sqlite3"),
            "EDGELORA_THREADS": "1",
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        } | environment
        command = [sys.executable, "-m", "edgelora.cli", "chat", *options]
        started.append(Terminal(command, columns=columns, rows=rows, environment=environment))
        return started[-1]

    yield run
    for terminal in started:
        terminal.close()


def opened(terminal: Terminal) -> Terminal:
    terminal.wait_for("5.2 M · Q8_0")
    return terminal


def quit_cleanly(terminal: Terminal, status: int = 0) -> None:
    if status == 0:
        terminal.send(CTRL_Q)
    assert terminal.wait_for_exit(90) == status
    assert_clean(terminal)


def assert_clean(terminal: Terminal) -> None:
    """As if the program had never been there."""
    assert terminal.is_restored
    assert terminal.modes_left == []
    begin, end = (terminal.written.rindex(mark) for mark in ALTERNATE_SCREEN)
    assert begin < end
    assert b"Traceback" not in terminal.written


def ask_example(terminal: Terminal) -> None:
    terminal.send("3")
    terminal.wait_for("for two years.")
    terminal.send("\r")
    terminal.wait_for(r"● legal · TTFT")


def begin_answer(terminal: Terminal) -> None:
    terminal.send("Tell me everything\r")
    terminal.wait_for("● base …")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_ends_cleanly_when_it_is_told_to(start: Start, number: signal.Signals) -> None:
    terminal = opened(start(*WANDERING))
    begin_answer(terminal)
    engines = psutil.Process(terminal.process.pid).children()
    terminal.process.send_signal(number)
    quit_cleanly(terminal, 128 + number)
    assert psutil.wait_procs(engines, timeout=90)[1] == []


def test_quitting_in_the_middle_of_an_answer_leaves_a_clean_terminal(start: Start) -> None:
    terminal = opened(start(*WANDERING))
    begin_answer(terminal)
    quit_cleanly(terminal)


def test_it_can_be_suspended_in_the_middle_of_an_answer(start: Start) -> None:
    terminal = opened(start(*WANDERING))
    begin_answer(terminal)
    terminal.send(CTRL_Z)
    terminal.until(lambda: psutil.Process(terminal.process.pid).status() == psutil.STATUS_STOPPED)
    assert_clean(terminal)
    terminal.send("")
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_for("(?s)edgelora demo.*Adapters.*Quit")  # all of the screen, not what has changed only
    terminal.send(ESCAPE)
    terminal.until(lambda: b"TTFT" in terminal.written)
    quit_cleanly(terminal)


def test_without_colours_there_are_none(start: Start) -> None:
    terminal = opened(start("--temperature", "0", NO_COLOR="1"))
    ask_example(terminal)
    quit_cleanly(terminal)
    assert not COLOUR.search(terminal.written)


def test_a_paste_of_100_kb_is_taken_as_one_text(start: Start) -> None:
    terminal = opened(start("--temperature", "0"))
    words = "".join(f"line {number:>5} of what was pasted, with *stars* and 漢字\n" for number in range(2000))
    assert len(words.encode()) > 100_000
    terminal.send(PASTE.format(words + "the last words"))
    terminal.wait_for("the last words")
    assert "Shorten" not in terminal.text, "no line of it was sent"
    terminal.send("\r")
    terminal.wait_for("Shorten the message")
    terminal.wait_for("2,000 more lines")
    quit_cleanly(terminal)


@pytest.mark.parametrize(("columns", "rows"), [(60, 20), (300, 80)])
def test_wide_and_right_to_left_characters_at_extreme_sizes(start: Start, columns: int, rows: int) -> None:
    terminal = opened(start("--temperature", "0", columns=columns, rows=rows))
    terminal.send(PASTE.format("שלום 你好 مرحبا 👩‍🚀 e\u0301") + "\r")
    terminal.wait_for(r"● base · TTFT")
    assert "你好" in terminal.text
    quit_cleanly(terminal)


def test_a_storm_of_new_sizes_while_an_answer_streams(start: Start) -> None:
    terminal = opened(start(*WANDERING))
    begin_answer(terminal)
    for step in range(120):
        terminal.resize(10 + 7 * step % 190, 3 + 5 * step % 60)
    terminal.resize(100, 30)
    terminal.send(ESCAPE)
    terminal.until(lambda: b"TTFT" in terminal.written)
    quit_cleanly(terminal)


def test_a_slow_link_holds_nothing_up_for_good(start: Start) -> None:
    terminal = opened(start("--temperature", "0"))
    terminal.slow = True
    before = len(terminal.written)
    ask_example(terminal)
    assert len(terminal.written) - before < 400_000, "only what changes is painted"
    terminal.slow = False
    quit_cleanly(terminal)


def test_the_mouse_chooses_an_example_and_an_adapter(start: Start) -> None:
    terminal = opened(start("--temperature", "0", columns=120, rows=36))
    terminal.wait_for(r"context\s+2,048")  # from then on all stays where it is
    click(terminal, 10, row_of("4  medical"))
    terminal.wait_for("left knee")  # of which the list has no room to show
    terminal.send("\r")
    terminal.wait_for(r"● medical · TTFT")
    click(terminal, 90, 8)
    terminal.wait_for("─ legal ─")
    quit_cleanly(terminal)


def row_of(example: str) -> int:
    """Where the first screen has it, at this size."""
    return 9 + int(example[0])


def click(terminal: Terminal, column: int, row: int) -> None:
    """Press and let go the left button (xterm, SGR mouse mode)."""
    terminal.send(f"\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m")
