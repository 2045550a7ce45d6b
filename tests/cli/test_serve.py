from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx2
import psutil
import pytest

from tests.server.serving import NEVER_ENDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Edgelora

LONG = {"model": "legal", "prompt": "Once", "max_tokens": 1500, "logit_bias": NEVER_ENDS}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--host", "0.0.0.0"], 2, "everybody who reaches 0.0.0.0 could use this server"),
        (["--host", "x" * 64, "--open-to-all"], 2, "cannot listen on xxx"),
        (["--tenants", "none.toml"], 1, "none.toml cannot be read"),
        (["--api-key", "@none.txt"], 2, "the keys in 'none.txt' cannot be read"),
        (["--adapter", "auto"], 2, "reserved"),
        (["--bake", "legal,base"], 2, "--bake names something that does nothing"),
        (["--bake", "legal,"], 2, "a member is missing"),
        (["--adapter-root", "none"], 2, "none"),
        (["--base", "none.gguf"], 1, "none.gguf"),
        (["--port", "99999"], 2, "--port"),
    ],
)
def test_what_goes_wrong_is_one_clear_error(
    edgelora: Edgelora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = edgelora("serve", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert says in outcome.err
    assert "Traceback" not in outcome.err


def test_an_address_in_use_is_said_before_the_base_is_opened(edgelora: Edgelora) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = edgelora("serve", "--port", taken.getsockname()[1])
    assert outcome.code == 2
    assert "cannot listen on 127.0.0.1" in outcome.err


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "edgelora.cli", "serve", "--port", "0", "--threads", "1", "--ctx", "4096"]
    environment = os.environ | {"EDGELORA_ADAPTERS": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        process.kill()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    for line in process.stderr:
        if found := re.search(r"listening on (\S+)", line):
            return found[1]
    raise AssertionError("it ended")


@pytest.mark.slow
def test_sigterm_lets_an_answer_finish(process: subprocess.Popen[str]) -> None:
    url = address(process)
    engines = psutil.Process(process.pid).children(recursive=True)
    with httpx2.stream("POST", f"{url}/v1/completions", json={**LONG, "stream": True}, timeout=100) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("data: ")
        process.send_signal(signal.SIGTERM)
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert process.wait(timeout=100) == 0
    assert not psutil.wait_procs(engines, timeout=60)[1]
    assert process.stderr
    said = process.stderr.read()
    assert "Traceback" not in said
    assert "Once" not in said


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(process: subprocess.Popen[str]) -> None:
    url = address(process)
    engines = psutil.Process(process.pid).children(recursive=True)
    with httpx2.stream("POST", f"{url}/v1/completions", json={**LONG, "stream": True}, timeout=100) as response:
        assert next(response.iter_lines()).startswith("data: ")
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert "answers under way" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=100) == 130
    assert not psutil.wait_procs(engines, timeout=60)[1]


@pytest.mark.slow
def test_an_engine_that_is_killed_costs_one_answer(process: subprocess.Popen[str]) -> None:
    url = address(process)
    with httpx2.Client(base_url=url, timeout=100) as client:
        ask = {"model": "legal", "prompt": "Once", "max_tokens": 5}
        before = client.post("/v1/completions", json=ask).json()["choices"]
        (engine,) = [
            child for child in psutil.Process(process.pid).children() if "resource_tracker" not in str(child.cmdline())
        ]
        with client.stream("POST", "/v1/completions", json={**LONG, "stream": True}) as response:
            lines = response.iter_lines()
            next(lines)
            engine.kill()
            last = [line for line in lines if line][-1]
        assert '"code": "engine_restarting"' in last
        assert client.post("/v1/completions", json=ask).json()["choices"] == before
        assert "\nedgelora_engine_restarts_total 1\n" in client.get("/metrics").text
