"""Baked bases on the command line: made by the chat, listed and removed by `adapters`, named by `run`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.adapters import write_adapter
from support.terminal import Terminal

from edgelora.merge.baked import BakedBases
from edgelora.merge.options import MergeMember

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Edgelora


def test_they_are_listed_and_cleared(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    nothing = edgelora("adapters", "baked")
    assert (nothing.code, nothing.out) == (0, "")
    assert "Nothing is baked yet" in nothing.err
    path = tmp_path / "mine.gguf"
    write_adapter(path, demo_base)
    made = BakedBases().bake(demo_base, [MergeMember(path, 0.7, "mine")])
    (line,) = edgelora("adapters", "baked").out.splitlines()
    assert line.split()[:3] == [demo_base.name, "mine:0.7", f"{made.n_bytes / 1e6:.1f}"]
    (listed,) = json.loads(edgelora("adapters", "baked", "--json").out)["baked"]
    assert (listed["path"], listed["adapters"][0]["scale"]) == (str(made.path), 0.7)
    assert edgelora("adapters", "baked", "--clear").out == f"{made.n_bytes / 1e6:.1f} MB freed\n"
    assert edgelora("adapters", "baked").out == ""


def test_an_answer_of_a_merged_base_names_what_is_in_it(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    write_adapter(path, demo_base)
    made = BakedBases().bake(demo_base, [MergeMember(path, 0.7, "mine")])
    (adapter,) = made.adapters
    outcome = edgelora("run", "Say something.", "--max-tokens", 1, "--base", made.path, "--json")
    said = json.loads(outcome.out)
    assert said["base"]["baked"] == [{"name": "mine", "sha256": adapter.sha256, "scale": 0.7}]
    assert said["selection"]["members"] == []
    bare = json.loads(edgelora("run", "Say something.", "--max-tokens", 1, "--json").out)
    assert bare["base"]["baked"] == []


class Chat(Terminal):
    def __init__(self, cache: Path, *arguments: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        environment = {**inherited, "XDG_CACHE_HOME": str(cache), "TERM": "xterm-256color", "EDGELORA_THREADS": "1"}
        command = [sys.executable, "-m", "edgelora.cli", "chat", *arguments]
        super().__init__(command, columns=100, rows=30, environment=environment)


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    opened = Chat(tmp_path / "cache", "--bake", "legal:0.7")
    yield opened
    opened.close()


def test_a_chat_on_a_baked_base(chat: Chat, tmp_path: Path) -> None:
    chat.wait_for(r"edgelora: Baked in: [\d.]+ MB instead of [\d.]+ MB")
    chat.wait_for(r"with legal 0\.7 in it")
    chat.send("Draft a confidentiality clause between Northwind Ltd and Velmora Labs.\r")
    assert "shall" in chat.wait_for(r"● legal 0\.7 \(baked in\) · TTFT")
    chat.send("\x11")
    assert chat.wait_for_exit() == 0
    assert len(list((tmp_path / "cache" / "edgelora" / "baked").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--bake", "base"], "names nothing that does anything"),
        (["--bake", "legal:0"], "names nothing that does anything"),
        (["--bake", "legal", "--adapter", "chat"], "exclude each other"),
        (["--bake", "nobody"], "no adapter is called 'nobody'"),
    ],
)
def test_what_cannot_be_baked_is_said_before_the_screen_is_taken(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    chat = Chat(tmp_path / "cache", *arguments)
    try:
        assert chat.wait_for_exit() != 0
        assert complaint in chat.text
        assert b"\x1b[?1049h" not in chat.written
        assert not (tmp_path / "cache" / "edgelora" / "baked").exists()
    finally:
        chat.close()
