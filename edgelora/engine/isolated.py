"""A process for native code, whose crash is then an event and not the end of the program.

It is spawned, not forked. Its standard streams go to a log before anything native is loaded, so nothing that llama.cpp
prints reaches the screen; the end of that log explains a crash. The log, and whatever temporary files a crash leaves,
lie in a folder that the client removes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from edgelora.errors import EngineDiedError

LOG_LIMIT = 2**20
"""Bytes beyond which a log is begun anew."""

_CRASHES = {"SIGSEGV", "SIGABRT", "SIGILL", "SIGBUS", "SIGFPE", "SIGTRAP", "SIGSYS"}
"""What a process dies of by its own doing; other signals come from a person or the system."""


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
        self._folder = tempfile.TemporaryDirectory(prefix=f"edgelora-{name}-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name) / "log"
        self._log.touch()
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_run,
            args=(target, theirs, self._log, arguments),
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
        crashed = how in _CRASHES or code > 0
        said = _last_words(self._log) if crashed else ""
        perhaps = ", perhaps for want of memory" if how == "SIGKILL" else ""
        return EngineDiedError(
            f"the {self.name} process ended unexpectedly ({how}{perhaps}){f': {said}' if said else ''}", crashed=crashed
        )

    def trim_log(self) -> None:
        """Begin the log anew if it has become long; for the client to call now and then."""
        with contextlib.suppress(OSError):  # whoever tidies up temporary files may have removed it
            if self._log.stat().st_size > LOG_LIMIT:
                os.truncate(self._log, 0)

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def close(self) -> None:
        """Give the pipe and the folder back."""
        self.connection.close()
        self._folder.cleanup()


def _start(process: SpawnProcess) -> None:
    """Start it so that neither a full-screen program nor a signal at this moment can harm it.

    Python's handlers of signals run in the main thread, so that what they raise does not break off a start in another:
    a process that is not told what to run says so on the screen.
    """
    with contextlib.redirect_stderr(sys.__stderr__):  # a full-screen program's own has no descriptor to pass on
        if os.name == "posix":
            resource_tracker.ensure_running()  # first, because it unblocks Ctrl-C when it is done
        with ThreadPoolExecutor(1) as starter:
            starter.submit(_start_without_interrupts, process).result()


def _start_without_interrupts(process: SpawnProcess) -> None:
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
    return _BUILD_FOLDER.sub("", (asserted or lines or [""])[-1])[:300]


_BUILD_FOLDER = re.compile(r"(?<!\S)/\S*/(?=[^/\s]+:\d+:)")
"""What an assertion puts before ``ggml.c:123:``, of the machine that compiled it."""


# --- in the new process


def _run(target: Callable[..., object], connection: Connection, log: Path, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, which will say what to do
    _redirect_streams(log)
    os.environ["GGML_NO_BACKTRACE"] = "1"  # it would attach a debugger to a crashing process
    os.environ["LIBC_FATAL_STDERR_"] = "1"  # an old glibc writes what it dies of to the terminal itself
    tempfile.tempdir = str(log.parent)
    target(connection, *arguments)
    shutil.rmtree(log.parent, ignore_errors=True)  # the client, who does it else, may have been killed


def _redirect_streams(log: Path) -> None:
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    sys.stdout = sys.stderr = os.fdopen(out, "w", buffering=1)
