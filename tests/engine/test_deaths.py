"""Engines in processes that die for real, and what their clients see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from support.adapters import write_adapter
from support.engines import exact_config, greedy, opened, run, selection
from support.terminal import Terminal

from edgelora.engine import isolated
from edgelora.engine.client import open_engine
from edgelora.engine.isolated import IsolatedProcess
from edgelora.engine.messages import Command, Load
from edgelora.engine.process import _PipeMailbox, start_process
from edgelora.engine.service import serve
from edgelora.engine.supervised import SupervisedEngine
from edgelora.errors import EngineDiedError, EngineError, QuarantinedError
from edgelora.types import (
    BASE,
    AdapterFile,
    EngineConfig,
    Failed,
    Finished,
    Request,
    SamplingParams,
    Selection,
    Token,
    ignore_progress,
)

ROOT = Path(__file__).parents[2]
PROMPT = tuple(range(300, 330))


@pytest.fixture
def adapter(f32_base: Path, tmp_path: Path) -> AdapterFile:
    return write_adapter(tmp_path / "a.gguf", f32_base)


def kill(engine: SupervisedEngine) -> None:
    assert engine._engine
    os.kill(engine._engine._link._process.pid, signal.SIGKILL)  # type: ignore[union-attr]


async def text_of(engine: SupervisedEngine, under: Selection) -> str:
    said = ""
    async for event in engine.generate(greedy("x", PROMPT, under)):
        if isinstance(event, Failed):
            raise event.error
        said += event.text if isinstance(event, Token) else ""
    return said


async def killed_while_it_answers(engine: SupervisedEngine, under: Selection) -> None:
    """Kill the engine at an answer's first token, and see that the answer ends with an error that says so."""
    stream = engine.generate(Request("x", PROMPT, under, SamplingParams(temperature=0)))
    killed = False
    async for event in stream:
        if isinstance(event, Token) and not killed:
            kill(engine)
            killed = True
    if isinstance(event, Finished):  # all of it was on its way
        return
    assert isinstance(event, Failed)
    assert isinstance(event.error, EngineDiedError)
    assert "SIGKILL" in event.error.message


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
async def test_killed_again_and_again(
    f32_base: Path, adapter: AdapterFile, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next answer is right each time, and nothing that the dead engine wrote stays on the disk."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    chosen = selection((adapter, 1.0))
    with opened(exact_config(f32_base), [adapter]) as core:
        expected = run(core, greedy("x", PROMPT, chosen))["x"]
        assert run(core, greedy("x", PROMPT, BASE))["x"] != expected
    engine = await open_engine(exact_config(f32_base))
    assert isinstance(engine, SupervisedEngine)
    await engine.load(adapter)
    for _ in range(times):
        await killed_while_it_answers(engine, chosen)
        assert await text_of(engine, chosen) == expected
        assert len(list(temporary.iterdir())) == 1
    await engine.close()
    assert list(temporary.iterdir()) == []


class _MailboxWithEvil(_PipeMailbox):
    """Dies as native code does when an adapter called "evil" is to be loaded."""

    def receive(self, *, wait: bool) -> Command | None:
        command = super().receive(wait=wait)
        if isinstance(command, Load) and command.adapter.name == "evil":
            print("GGML_ASSERT(evil) failed", flush=True)
            os.abort()
        return command


def _serve_with_evil(connection: Connection, config: EngineConfig) -> None:
    serve(config, _MailboxWithEvil(connection))


async def test_an_adapter_that_aborts_the_engine_twice(
    f32_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgelora.engine.process._serve", _serve_with_evil)
    start = partial(start_process, exact_config(f32_base), ignore_progress)
    engine = await SupervisedEngine(f32_base, start).open()
    evil = write_adapter(tmp_path / "evil.gguf", f32_base, seed=1)
    evil = AdapterFile("evil", evil.path, evil.sha256)
    good = write_adapter(tmp_path / "good.gguf", f32_base)
    await engine.load(good)
    with pytest.raises(EngineDiedError, match=r"SIGABRT.*GGML_ASSERT\(evil\)"):
        await engine.load(evil)
    with pytest.raises(QuarantinedError, match=r"evil\.gguf.*GGML_ASSERT\(evil\)") as caught:
        await engine.load(evil)
    assert caught.value.adapters == (evil.sha256,)
    assert await text_of(engine, selection((good, 1.0)))
    await engine.close()


# --- the log


def _chatter(connection: Connection, n_bytes: int) -> None:
    os.write(2, b"x" * n_bytes)
    connection.send("written")
    connection.recv()
    os.write(2, b"the end")
    os.abort()


def test_a_log_that_becomes_long_is_begun_anew() -> None:
    talker = IsolatedProcess("talker", _chatter, isolated.LOG_LIMIT + 1)
    assert talker.connection.recv() == "written"
    assert talker._log.stat().st_size > isolated.LOG_LIMIT
    talker.trim_log()
    talker.connection.send("go on")
    talker.process.join()
    assert talker._log.read_text() == "the end"
    talker.trim_log()
    assert talker._log.read_text() == "the end"
    talker.close()
    assert not talker._log.exists()
    talker.trim_log()


def _hangs_up(connection: Connection) -> None:
    with suppress(EOFError):
        connection.recv()


def test_a_process_whose_client_is_gone_tidies_up() -> None:
    left = IsolatedProcess("left", _hangs_up)
    left.connection.close()
    left.process.join()
    assert not left._log.parent.exists()
    left.close()


def test_a_program_that_is_told_to_end_while_it_starts_a_process_says_nothing() -> None:
    script = ROOT / "tests" / "support" / "told_to_end.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "convert")))}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")


def test_nothing_of_a_loud_death_reaches_the_terminal() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, str(ROOT / "tests" / "support" / "noisy.py")]
    terminal = Terminal(command, columns=200, rows=20, environment=environment)
    assert terminal.wait_for_exit() == 0
    said = terminal.text.strip()
    terminal.close()
    assert said.startswith("it said: the noisy process ended unexpectedly (SIGABRT)")
    assert "\n" not in said
    assert "native" not in said


async def test_a_base_that_changed_meanwhile_is_not_used(f32_base: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.gguf"
    base.write_bytes(f32_base.read_bytes())
    engine = await open_engine(exact_config(base))
    assert isinstance(engine, SupervisedEngine)
    changed = bytearray(f32_base.read_bytes())
    changed[-8] ^= 1
    (tmp_path / "new.gguf").write_bytes(changed)
    (tmp_path / "new.gguf").replace(base)
    kill(engine)
    with suppress(EngineDiedError):  # the call that was on its way
        await engine.tokenize("")
    with pytest.raises(EngineError, match="has changed since it was opened"):
        await engine.tokenize("")
    await engine.close()
