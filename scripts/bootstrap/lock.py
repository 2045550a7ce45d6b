"""One set-up at a time: a lock that the kernel gives back when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootstrap.report import Report


@contextmanager
def held(path: Path, report: Report) -> Iterator[int]:
    """Hold the lock on `path`; waits, and says so, while another set-up has it.

    Yields the file descriptor. pip inherits it, so that a pip which outlives a killed set-up still keeps others out.
    On a file system without locks the set-up goes on without one.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait(descriptor, report)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(descriptor: int, report: Report) -> None:
    waiting = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not waiting:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace")
                report.say(f"Another set-up (process {holder}, or the pip it started) is at work here; waiting for it.")
            waiting = True
            time.sleep(0.3)
        except OSError as error:
            report.say(f"This file system has no locks ({error.strerror}): start only one set-up at a time.")
            return
