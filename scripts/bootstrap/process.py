"""Runs one long command: its words go to the log, where it stands goes to the report, an interruption ends it whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from bootstrap.report import Report

POLL_S = 0.2
GRACE_S = 10.0
PATTERNS = (
    (re.compile(r"^\s*\[\s*(\d+)/(\d+)\]"), "compiling, {} of {}"),  # Ninja
    (re.compile(r"^\s*\[\s*(\d+)%\]"), "compiling, {} %"),  # Make
    (re.compile(r"^\s*Installing build dependencies"), "fetching build tools"),
    (re.compile(r"^\s*Collecting ([\w.-]+)"), "fetching {}"),
    (re.compile(r"^\s*Building wheel for ([\w.-]+)"), "building {}"),
    (re.compile(r"^\s*Installing collected packages"), "installing"),
)


def describe(line: str) -> str | None:
    """What a line of pip's or the build's output says about where things stand, in few words."""
    for pattern, words in PATTERNS:
        if match := pattern.match(line):
            return words.format(*match.groups())
    return None


def run_logged(
    command: Sequence[str], environment: Mapping[str, str], log: Path, report: Report, lock: int
) -> tuple[int, str]:
    """Run `command` and return its exit code and what it said.

    It writes to the log itself and inherits the lock, so that it goes on undisturbed, and keeps other set-ups out, if
    this process is killed. It has a process group of its own, so that an interruption reaches compilers too.
    """
    with log.open("ab") as sink, log.open("rb") as source:
        sink.write(f"\n$ {' '.join(command)}\n".encode())
        sink.flush()
        start = source.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock,),
        )
        try:
            _follow(process, source, report)
        except BaseException:
            _end(process)
            raise
        source.seek(start)
        return process.returncode, source.read().decode(errors="replace")


def _follow(process: subprocess.Popen[bytes], source: BinaryIO, report: Report) -> None:
    detail = ""
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
            return
        for line in source:
            detail = describe(line.decode(errors="replace")) or detail
        report.tick(detail)


def _end(process: subprocess.Popen[bytes]) -> None:
    # SIGINT first: pip then removes its temporary folders. What is left of the group after that is killed.
    with suppress(OSError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGINT)
        process.wait(GRACE_S)
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
