"""Run a native job in a process of its own and wait for it: a crash is one clear error, and Ctrl-C ends it at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from edgelora.engine.failures import as_error
from edgelora.engine.isolated import IsolatedProcess
from edgelora.errors import EdgeloraError
from edgelora.types import Progress, ReportProgress

HEARTBEAT = 0.5
"""Seconds after which the last progress is reported again, so that a report that raises can end a job at any time."""

_END_TIMEOUT = 5.0  # seconds for a process whose pipe has ended to end itself

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Announced:
    value: Any


@dataclass(frozen=True, slots=True)
class _Done:
    result: Any


@dataclass(frozen=True, slots=True)
class _Failed:
    error: EdgeloraError


def run_apart(
    name: str,
    job: Callable[..., Result],
    *arguments: object,
    report: ReportProgress,
    announce: Callable[[Any], object] | None = None,
    patience: float = 0.0,
) -> Result:
    """What ``job(*arguments, report)`` returns in a new process called ``name``.

    ``job`` must be a function of a module; it, its arguments and its result are pickled. With ``announce`` it gets
    another function after ``report``; what it calls that with is announced here. Raises the EdgeloraError that
    the job raised, or EngineDiedError where the process ended unexpectedly. Whatever interrupts the waiting, a
    KeyboardInterrupt or an error of ``report`` or ``announce``, ends the process too: its next report fails, and if it
    has not ended ``patience`` seconds later it is killed. With patience it may start processes of its own.
    """
    apart = IsolatedProcess(name, _work, job, arguments, announce is not None, starts_others=patience > 0)
    try:
        outcome = _wait(apart, report, announce)
    finally:
        apart.connection.close()
        apart.process.join(patience)
        apart.kill()
        apart.close()
    if isinstance(outcome, _Failed):
        raise outcome.error
    result: Result = outcome.result
    return result


def _wait(apart: IsolatedProcess, report: ReportProgress, announce: Callable[[Any], object] | None) -> _Done | _Failed:
    latest: Progress | None = None
    while True:
        message: Progress | _Announced | _Done | _Failed | None = latest
        try:
            if apart.connection.poll(HEARTBEAT):
                message = apart.connection.recv()
        except (EOFError, OSError):
            apart.process.join(_END_TIMEOUT)
            return _Failed(apart.why_it_ended())
        if isinstance(message, _Done | _Failed):
            return message
        if isinstance(message, _Announced) and announce:
            announce(message.value)
        elif isinstance(message, Progress):
            report(message)
            latest = message


# --- in the new process


def _work(connection: Connection, job: Callable[..., object], arguments: tuple[object, ...], announces: bool) -> None:
    tell: list[object] = [lambda progress: connection.send(progress)]
    if announces:
        tell.append(lambda value: connection.send(_Announced(value)))
    with contextlib.suppress(OSError):  # nobody waits any more
        connection.send(_outcome(job, (*arguments, *tell)))


def _outcome(job: Callable[..., object], arguments: tuple[object, ...]) -> _Done | _Failed:
    try:
        return _Done(job(*arguments))
    except Exception as error:
        return _Failed(as_error(error))
