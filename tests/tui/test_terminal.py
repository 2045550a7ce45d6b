"""The real program in a pseudo-terminal, on the embedded demo."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from support.terminal import ALTERNATE_SCREEN, SHOW_CURSOR, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CTRL_G, CTRL_Q, CTRL_T, ESCAPE, LEFT = "\x07", "\x11", "\x14", "\x1b", "\x1b[D"
NATIVE_WORDS = re.compile(rb"llama_|ggml_|load_tensors|print_info|Traceback")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """The chat at 100x30 with an adapter folder of its own that holds a broken file."""
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment = {
        **inherited,
        "EDGELORA_ADAPTERS": str(tmp_path),
        "EDGELORA_CHAT_STATE": str(tmp_path / "chat.json"),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "EDGELORA_THREADS": "1",
    }
    command = [sys.executable, "-m", "edgelora.cli", "chat", "--temperature", "0", "--ctx", "512"]
    started = Terminal(command, columns=100, rows=30, environment=environment)
    yield started
    started.close()


def kill_engine(terminal: Terminal) -> None:
    """End the chat's engine as the system does when memory is short."""
    for child in psutil.Process(terminal.process.pid).children():
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
            return
    raise AssertionError("there is no engine")


@pytest.mark.timeout(400)
def test_swap_in_the_middle_of_a_conversation_and_leave_a_clean_terminal(terminal: Terminal) -> None:
    terminal.wait_for("Your own base and LoRA adapters")
    terminal.wait_for(r"context\s+512")
    terminal.send(CTRL_T + "medical\r")
    terminal.wait_for("─ medical ─")
    terminal.send("Write a note for a 52-year-old baker with a dull headache for two days.\r")
    note = terminal.wait_for(r"● medical · TTFT [\d,]+ ms")
    assert all(part in note for part in ("S: ", "O: ", "A: ", "P: "))
    terminal.send(CTRL_T + "legal\r")
    terminal.wait_for("─ legal ─")
    terminal.send("Draft a confidentiality clause between Northwind Ltd and Velmora Labs for two years.\r")
    assert "shall" in terminal.wait_for(r"● legal · TTFT [\d,]+ ms")
    terminal.send(CTRL_G + "medical \r")
    terminal.wait_for(r"compare: base \| legal \| medical")
    terminal.send("Draft another clause.\r")
    terminal.wait_for("1-3 go on from another column")
    terminal.send("3")
    terminal.wait_for("● 3 medical")
    terminal.send(CTRL_T + "legal\r")
    terminal.wait_for("─ legal ─")
    terminal.send(CTRL_T + "broken")
    terminal.wait_for("Enter: broken")  # so that Escape is not followed by a key within the time of a sequence
    assert "cannot be used" in terminal.text
    terminal.send(ESCAPE)
    terminal.wait_for(r"○ medical")  # the filter is empty again
    terminal.resize(60, 20)
    terminal.send(CTRL_T + LEFT * 10 + "\r")
    terminal.wait_for("legal 0")
    kill_engine(terminal)
    terminal.wait_for("(?s)SIGKILL.*conversation is kept.*there again")
    terminal.send("And without any adapter?\r")
    terminal.wait_for(r"● base · TTFT")
    terminal.send("Another note for a teacher with a sore throat\r")
    terminal.wait_for("● legal 0 …")
    terminal.send(CTRL_Q)
    assert terminal.wait_for_exit() == 0
    assert terminal.is_restored
    begin, end = (terminal.written.rindex(mark) for mark in ALTERNATE_SCREEN)
    assert begin < end
    assert SHOW_CURSOR in terminal.written[begin:]
    assert not NATIVE_WORDS.search(terminal.written)
