"""A process for native code, whose crash is then an event and not the end of the program.

It is spawned, not forked. Its standard streams go to a log before anything native is loaded, so nothing that llama.cpp
prints reaches the screen; the end of that log explains a crash.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from edgelora.errors import EngineDiedError


class IsolatedProcess:
    """Runs ``target(connection, *arguments)`` in a new process; ``connection`` is this end of the pipe.

    ``target`` and ``arguments`` are pickled. The process ignores Ctrl-C, which is for the program that started it, and
    ends with it. Call :meth:`close` when it has ended.

    A process that ``starts_others`` does not end by itself with the program; its target must, when its pipe closes.
    """

    def __init__(
        self, name: str, target: Callable[..., object], *arguments: object, starts_others: bool = False
    ) -> None:
        self.name = name
        self._log = tempfile.NamedTemporaryFile(prefix=f"edgelora-{name}-", suffix=".log")  # noqa: SIM115
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_run,
            args=(target, theirs, self._log.name, arguments),
            name=f"edgelora-{name}",
            daemon=not starts_others,  # multiprocessing keeps daemons from starting any
        )
        _start(self.process)
        theirs.close()

    def why_it_ended(self) -> EngineDiedError:
        """What to say when it ended without being asked to."""
        code = self.process.exitcode or 0
        names = {-number: number.name for number in signal.Signals}
        how = names.get(code, f"exit code {code}")
        said = _last_words(Path(self._log.name))
        return EngineDiedError(f"the {self.name} process ended unexpectedly ({how}){f': {said}' if said else ''}")

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def close(self) -> None:
        """Give the pipe and the log back."""
        self.connection.close()
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


def _run(target: Callable[..., object], connection: Connection, log: str, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, which will say what to do
    _redirect_streams(log)
    os.environ["GGML_NO_BACKTRACE"] = "1"  # it would attach a debugger to a crashing process
    target(connection, *arguments)


def _redirect_streams(log: str) -> None:
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    sys.stdout = sys.stderr = os.fdopen(out, "w", buffering=1)
