"""`edgelora adapters` in another terminal, while a server and a chat with default settings run."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from support.terminal import Terminal

from tests.server.processes import CLI, adapters_command, environment, server_process
from tests.server.serving import NEVER_ENDS, PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CTRL_T = "\x14"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ASK: dict[str, Any] = {"model": "novel", "prompt": "Once", "max_tokens": 4}
LONG: dict[str, Any] = {**ASK, "max_tokens": 900, "stream": True, "logit_bias": NEVER_ENDS}


class Seconds:
    """How long things took to take effect, for who reads along."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    def until(self, what: str, holds: Any) -> None:
        began = time.monotonic()
        until(holds)
        self.found[what] = round(time.monotonic() - began, 2)


@pytest.fixture
def seconds(capsys: pytest.CaptureFixture[str]) -> Iterator[Seconds]:
    seconds = Seconds()
    yield seconds
    with capsys.disabled():
        print(seconds.found)


def change(adapters: Path, *arguments: object) -> None:
    assert adapters_command(adapters, *arguments).wait(PATIENCE_S) == 0


def test_a_server_takes_notice(tmp_path: Path, demo_base: Path, seconds: Seconds) -> None:
    legal, medical = (demo_base.parent / "adapters" / f"{name}.gguf" for name in ("legal", "medical"))
    command = [*CLI, "serve", "--port", "0", "--threads", "1", "--ctx", "2048"]
    with server_process(command, tmp_path / "log", environment(tmp_path / "adapters")) as server:
        client = httpx2.Client(base_url=server.url, timeout=PATIENCE_S, verify=False)

        def version() -> str:
            answer = client.post("/v1/completions", json=ASK)
            return str(answer.json()["edgelora"]["selection"]) if answer.status_code == 200 else ""

        change(tmp_path / "adapters", "add", legal, "--name", "novel")
        seconds.until("serve add", lambda: version() == "novel@1")
        with httpx2.stream("POST", f"{server.url}/v1/completions", json=LONG, timeout=PATIENCE_S) as running:
            lines = (line for line in running.iter_lines() if line)
            assert next(lines).startswith("data: ")
            change(tmp_path / "adapters", "add", medical, "--name", "novel")
            seconds.until("serve add another", lambda: version() == "novel@2")
            assert '"selection":"novel@1"' in [*lines][-2]
        change(tmp_path / "adapters", "pin", "novel@1")
        seconds.until("serve pin", lambda: version() == "novel@1")
        removed = [adapters_command(tmp_path / "adapters", "remove", "novel")]

        def is_removed() -> bool:
            if removed[-1].wait(PATIENCE_S):  # it is in use, and for five seconds after
                removed.append(adapters_command(tmp_path / "adapters", "remove", "novel"))
                return False
            return True

        until(is_removed)
        seconds.until("serve remove", lambda: client.get("/v1/models/novel").status_code == 404)
        assert client.post("/v1/completions", json=ASK).status_code == 404
        client.close()


def says(terminal: Terminal, name: str) -> bool:
    """Whether the answer to a question is made by ``name``."""
    terminal.send("Hello.\r")
    return f"{name} ·" in terminal.wait_for(r"● novel@\d · TTFT [\d,]+ ms")


def test_a_chat_takes_notice(tmp_path: Path, demo_base: Path, seconds: Seconds) -> None:
    legal, medical = (demo_base.parent / "adapters" / f"{name}.gguf" for name in ("legal", "medical"))
    more = {"EDGELORA_CHAT_STATE": str(tmp_path / "chat.json"), "TERM": "xterm-256color", "EDGELORA_THREADS": "1"}
    command = [sys.executable, *CLI, "chat", "--temperature", "0", "--ctx", "512"]
    terminal = Terminal(command, columns=100, rows=30, environment=environment(tmp_path / "adapters", **more))
    try:
        terminal.wait_for("Your own base and LoRA adapters")
        terminal.wait_for(r"context\s+512")
        change(tmp_path / "adapters", "add", legal, "--name", "novel")
        seconds.until("chat add", lambda: terminal.wait_for("novel"))
        terminal.send(CTRL_T + "novel\r")
        terminal.wait_for("─ novel ─")  # over the composer
        says(terminal, "novel@1")
        for what, arguments, name in (
            ("chat add another", ("add", medical, "--name", "novel"), "novel@2"),
            ("chat pin", ("pin", "novel@1"), "novel@1"),
        ):
            change(tmp_path / "adapters", *arguments)
            seconds.until(what, lambda name=name: says(terminal, name))
    finally:
        terminal.close()
