"""An engine in a process of its own, so that a native crash is an event and not the end of the program.

The process is spawned, not forked. Its standard streams go to a log before anything native is loaded, so nothing that
llama.cpp prints reaches the screen; the end of that log explains a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from edgelora.engine.messages import Close, Command, Message
from edgelora.engine.remote import RemoteEngine
from edgelora.errors import EngineDiedError
from edgelora.types import EngineConfig, ReportProgress

CLOSE_TIMEOUT = 5.0
"""Seconds that the process gets to end its step and free its memory before it is killed."""


async def start_process(config: EngineConfig, report: ReportProgress) -> RemoteEngine:
    """Open the base of ``config`` in a new process. Raises what the engine failed with."""
    engine = RemoteEngine(report)
    return await engine.open(_ProcessLink(config, engine))


class _ProcessLink:
    """The client's end: a thread that reads, and one that writes so that a busy engine never blocks the event loop."""

    def __init__(self, config: EngineConfig, engine: RemoteEngine) -> None:
        self._engine, self._loop = engine, asyncio.get_running_loop()
        self._log = tempfile.NamedTemporaryFile(prefix="edgelora-engine-", suffix=".log")  # noqa: SIM115
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_run, args=(config, theirs, self._log.name), name="edgelora-engine", daemon=True
        )
        _start(self._process)
        theirs.close()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="edgelora-commands")
        self._reader = threading.Thread(target=self._read, name="edgelora-events", daemon=True)
        self._reader.start()

    def send(self, command: Command) -> None:
        self._writer.submit(self._write, ForkingPickler.dumps(command))  # here, where an error has a caller

    async def wait_closed(self) -> None:
        await asyncio.to_thread(self._join)

    def _write(self, command: memoryview) -> None:
        with contextlib.suppress(OSError):  # the engine is gone; the reader says so
            self._connection.send_bytes(command)

    def _read(self) -> None:
        try:
            while True:
                self._post(self._engine.on_message, self._connection.recv())
        except Exception:  # the end of the pipe, or bytes that are no message
            if self._process.is_alive():
                self._process.join(CLOSE_TIMEOUT)
            self._post(self._engine.on_lost, self._why_it_died())

    def _post(self, method: object, argument: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended before us
            self._loop.call_soon_threadsafe(method, argument)  # type: ignore[arg-type]

    def _why_it_died(self) -> EngineDiedError:
        code = self._process.exitcode or 0
        names = {-number: number.name for number in signal.Signals}
        how = names.get(code, f"exit code {code}")
        said = _last_words(Path(self._log.name))
        return EngineDiedError(f"the engine process ended unexpectedly ({how}){f': {said}' if said else ''}")

    def _join(self) -> None:
        self._process.join(CLOSE_TIMEOUT)
        if self._process.is_alive():
            self._process.kill()
        self._reader.join()
        self._writer.shutdown()
        self._connection.close()
        self._log.close()


def _start(process: SpawnProcess) -> None:
    """Start it so that neither a full-screen program nor a Ctrl-C at this moment can harm it."""
    with contextlib.redirect_stderr(sys.__stderr__):  # a full-screen program's own has no descriptor to pass on
        if os.name == "posix":
            resource_tracker.ensure_running()  # first, because it unblocks Ctrl-C when it is done
        with _interrupts_blocked():
            process.start()


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A process started in here inherits a blocked Ctrl-C, until it has decided to ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _last_words(log: Path) -> str:
    """The line of the log that explains a crash: a failed assertion if there is one, else the last."""
    try:
        lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    asserted = [line for line in lines if "GGML_ASSERT" in line or "GGML_ABORT" in line]
    return (asserted or lines or [""])[-1][:300]


# --- in the new process


def _run(config: EngineConfig, connection: Connection, log: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, which will say what to do
    _redirect_streams(log)
    os.environ["GGML_NO_BACKTRACE"] = "1"  # it would attach a debugger to a crashing process
    from edgelora.engine.service import serve

    serve(config, _PipeMailbox(connection))


def _redirect_streams(log: str) -> None:
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    sys.stdout = sys.stderr = os.fdopen(out, "w", buffering=1)


class _PipeMailbox:
    """The engine's end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def receive(self, *, wait: bool) -> Command | None:
        try:
            if not self._connection.poll(None if wait else 0):
                return None
            command: Command = self._connection.recv()
            return command
        except (EOFError, OSError):  # the client is gone
            return Close()

    def send(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # the client is gone; the next receive says so
            self._connection.send(message)
