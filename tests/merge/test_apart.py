"""A job in a process of its own: results, errors, crashes, and how it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from edgelora.errors import EngineDiedError, EngineError, MemoryLimitError
from edgelora.merge.apart import run_apart
from edgelora.types import Progress, ReportProgress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable


def counting(steps: int, report: ReportProgress) -> int:
    for step in range(steps):
        report(Progress("counting", step, steps))
    print("on no screen")
    return os.getpid()


def failing(report: ReportProgress) -> None:
    raise MemoryLimitError("too much", "Take less.")


def unforeseen(report: ReportProgress) -> None:
    raise KeyError("nothing")


def crashing(report: ReportProgress) -> None:
    os.write(2, b"/where/it/was-built/ggml.c:12: GGML_ASSERT(n > 0) failed\nand more\n")
    os.abort()


def sleeping(report: ReportProgress) -> None:
    report(Progress("sleeping", 0, 1))
    time.sleep(60)


def test_it_returns_what_another_process_returned(capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[Progress] = []
    assert run_apart("test", counting, 3, report=seen.append) != os.getpid()
    assert [progress.done for progress in seen] == [0, 1, 2]
    assert not capfd.readouterr().out


def test_its_error_is_raised_as_it_was() -> None:
    with pytest.raises(MemoryLimitError) as raised:
        run_apart("test", failing, report=ignore_progress)
    assert (raised.value.message, raised.value.hint) == ("too much", "Take less.")


def test_an_unforeseen_error_says_where() -> None:
    with pytest.raises(EngineError, match=r"KeyError.*unforeseen"):
        run_apart("test", unforeseen, report=ignore_progress)


def test_a_crash_is_one_error_with_the_failed_assertion() -> None:
    said = r"test process ended unexpectedly \(SIGABRT\): ggml\.c:12: GGML_ASSERT\(n > 0\)"
    with pytest.raises(EngineDiedError, match=said):
        run_apart("test", crashing, report=ignore_progress)


def interrupt(progress: Progress) -> None:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()


def refuse(progress: Progress) -> None:
    raise KeyboardInterrupt


def refuse_later() -> Callable[[Progress], None]:
    """A report that has heard nothing new for a while and does not want to wait any more."""
    calls: list[Progress] = []

    def report(progress: Progress) -> None:
        calls.append(progress)
        if len(calls) == 3:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("report", [interrupt, refuse, refuse_later()], ids=["signal", "report", "later report"])
def test_an_interruption_ends_the_process_at_once(report: Callable[[Progress], None]) -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_apart("test", sleeping, report=report)
    assert time.monotonic() - began < 30
    assert not [child for child in multiprocessing.active_children() if child.name == "edgelora-test"]
