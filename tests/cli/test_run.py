from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest
from support.adapters import write_adapter

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Edgelora

GREEDY = ("--temperature", 0, "--max-tokens", 8)
LONG_ANSWER = ("--temperature", "20", "--seed", "1", "--min-p", "0", "--top-k", "0", "--top-p", "1")


def test_the_answer_alone_goes_to_stdout(edgelora: Edgelora) -> None:
    outcome = edgelora("run", "Say something.", *GREEDY)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.strip()
    assert outcome.out.endswith("\n")


def test_json_is_one_document_that_says_what_made_the_answer(
    edgelora: Edgelora, demo_base: Path, tmp_path: Path
) -> None:
    strong = write_adapter(tmp_path / "strong.gguf", demo_base, strength=2.0)
    weak = write_adapter(tmp_path / "weak.gguf", demo_base, seed=1)
    text = f"{strong.path}:0.5+{weak.path}"
    outcome = edgelora("run", "Say something.", *GREEDY, "--base", demo_base, "--adapter", text, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    answer = json.loads(outcome.out)
    assert answer["selection"]["text"] == text
    assert {(member["name"], member["sha256"], member["scale"]) for member in answer["selection"]["members"]} == {
        ("strong", strong.sha256, 0.5),
        ("weak", weak.sha256, 1.0),
    }
    assert answer["finish_reason"] in ("length", "stop")
    assert 0 < answer["completion_tokens"] <= 8
    assert answer["prompt_tokens"] > 0 == answer["reused_tokens"]
    assert answer["ttft_ms"] > 0 < answer["tok_per_s"]
    assert answer["base"]["path"] == str(demo_base)
    assert len(answer["base"]["fingerprint"]) == 64
    assert answer["mode"] == "pooled"
    assert answer["callback"] in ("native", "python")
    assert (answer["mode_reason"], answer["swap_ms"]) == ("", 0.0)


def test_an_adapter_that_does_nothing_is_reported(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    idle = write_adapter(tmp_path / "idle.gguf", demo_base, strength=0.0)
    outcome = edgelora("run", "Say something.", *GREEDY, "--adapter", idle.path, "--json")
    assert json.loads(outcome.out)["selection"]["members"][0]["effect"] == 0
    assert outcome.err == "edgelora: the adapter idle changes nothing on this base\n"


def test_streamed_and_json_text_are_the_same(edgelora: Edgelora) -> None:
    streamed = edgelora("run", "Say something.", *GREEDY).out
    document = json.loads(edgelora("run", "Say something.", *GREEDY, "--json").out)
    assert streamed.rstrip("\n") == document["text"].rstrip("\n")
    assert document["selection"] == {"text": "base", "members": []}


def test_an_adapter_changes_the_answer(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "strong.gguf", demo_base, rank=16, strength=8.0)
    base = edgelora("run", "Say something.", *GREEDY).out
    assert edgelora("run", "Say something.", *GREEDY, "--adapter", adapter.path).out != base
    assert edgelora("run", "Say something.", *GREEDY, "--adapter", f"{adapter.path}:0").out == base


def test_the_prompt_can_come_from_stdin(edgelora: Edgelora, monkeypatch: pytest.MonkeyPatch) -> None:
    said = edgelora("run", "Zwölf Bäume.", *GREEDY)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("Zwölf Bäume.\n".encode())))
    assert edgelora("run", "-", *GREEDY) == said


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (["  "], b"", 2, "the prompt is empty"),
        (["-"], b"\n", 2, "nothing came from stdin"),
        (["-"], b"\xff", 2, "stdin is not UTF-8 text (byte 0)"),
        (["x", "--adapter", "auto"], b"", 2, "reserved"),
        (["x", "--adapter", "nobody"], b"", 1, "no adapter is called 'nobody'"),
        (["x", "--adapter", "./none.gguf"], b"", 1, "none.gguf: no such file"),
        (["x", "--base", "none.gguf"], b"", 1, "there is no base at none.gguf"),
        (["x", "--base", __file__], b"", 1, "not a GGUF file"),
        (["x", "--system", "@none.txt"], b"", 2, "'none.txt' cannot be read"),
        (["x", "--template", "none"], b"", 1, "none"),
        (["x", "--temperature", "-1"], b"", 2, "--temperature: -1.0 is not possible"),
        (["x " * 3000, "--ctx", "64"], b"", 1, "the context holds 64"),
    ],
)
def test_what_goes_wrong_is_one_clear_error(
    edgelora: Edgelora, monkeypatch: pytest.MonkeyPatch, arguments: list[str], stdin: bytes, code: int, says: str
) -> None:
    for more in ([], ["--json"]):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        outcome = edgelora("run", *arguments, *more)
        assert (outcome.code, outcome.out) == (code, "")
        assert says in outcome.err
        assert outcome.err.startswith("edgelora: ")
        assert "Traceback" not in outcome.err


def test_a_setting_reaches_the_engine(edgelora: Edgelora, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "edgelora"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("ctx = 32\n")
    assert "the context holds 32" in edgelora("run", "x " * 100).err
    assert edgelora("run", "x " * 100, *GREEDY, "--ctx", 1024).code == 0


# --- with the engine in its own process, as it is for people


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgelora.cli", "run", "Say something.", "--threads", "1", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, start_new_session=True)  # type: ignore[call-overload, no-any-return]


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_ctrl_c_ends_the_answer_and_the_engine() -> None:
    with started(*LONG_ANSWER) as process:
        assert process.stdout
        assert process.stdout.read(1)
        engine = children(process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == ""
    assert engine
    assert psutil.wait_procs(engine, timeout=60)[1] == []


def test_ctrl_c_while_it_starts_leaves_nothing() -> None:
    with started() as process:
        while not children(process):  # its engine has been started, which imports first
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert out == ""
    assert "internal error" not in err


def test_a_closed_pipe_is_quiet() -> None:
    with started(*LONG_ANSWER) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    assert err.strip() == ""


def test_an_engine_that_is_killed_is_one_clear_error() -> None:
    with started(*LONG_ANSWER) as process:
        engines: list[psutil.Process] = []
        while not engines:
            time.sleep(0.005)
            engines = [child for child in children(process) if "spawn_main" in " ".join(child.cmdline())]
        assert process.stdout
        assert process.stdout.read(1)
        engines[0].kill()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    lines = err.strip().splitlines()
    assert lines[-2:] == [
        "edgelora: the engine process ended unexpectedly (SIGKILL, perhaps for want of memory)",
        "It restarts by itself: ask again.",
    ]
