"""The set-up from start to end: is there anything to do, the steps, and then the command that was asked for."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time
from pathlib import Path
from types import FrameType

from bootstrap import backend, lock
from bootstrap.environment import TARGETS, Environment, Settings, Target
from bootstrap.errors import Interrupted, SetupError
from bootstrap.pip import Pip
from bootstrap.report import Report, clock
from bootstrap.steps import STEPS, Steps

ROOT = Path(__file__).resolve().parent.parent.parent


def main(arguments: list[str]) -> int:
    """Make the environment of `arguments[0]`; for `edgelora`, become edgelora with the rest of the arguments."""
    name, rest = arguments[0], arguments[1:]
    report = Report(STEPS)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    try:
        asked, rest = backend.split_option(rest)
        environment = prepare(ROOT, TARGETS[name], asked, report)
    except SetupError as error:
        report.say(f"edgelora: {error}")
        return error.code
    except OSError as error:
        report.say(f"edgelora: the set-up cannot go on: {error}")
        return 1
    except Interrupted as stop:
        report.say("Interrupted. Start again to go on: finished downloads and builds are kept.")
        return 128 + stop.signum
    if name == "edgelora":
        os.execv(environment.command, [str(environment.command), *rest])
    return 0


def prepare(root: Path, target: Target, asked: str | None, report: Report) -> Environment:
    """The environment of `target` with the `asked` backend, made or brought up to date where it is not."""
    environment = Environment(root, target.name)
    environment.claim()
    with lock.held(environment.notes / "lock", report) as descriptor:
        known = environment.settings()
        wanted = _wanted(root, known, target, asked)
        if not environment.is_current(wanted):
            began = time.monotonic()
            Steps(environment, target, wanted, known, Pip(environment, report, descriptor)).run()
            report.say(f"Ready after {clock(time.monotonic() - began)}.")
            if target == TARGETS["edgelora"]:
                report.say(path_hint(root / "scripts" / "edgelora"))
    return environment


def path_hint(command: Path) -> str:
    """How plain `edgelora` gets on the PATH, or that it is there."""
    found = shutil.which("edgelora")
    if found and Path(found).resolve() == command:
        return "Plain `edgelora` works in any folder."
    folder = Path.home() / ".local" / "bin"
    note = "" if str(folder) in os.get_exec_path() else f", with {folder} on your PATH"
    there, linked = shlex.quote(str(folder)), shlex.quote(str(command))
    return f"For plain `edgelora` in any folder{note}: mkdir -p {there} && ln -sf {linked} {there}/edgelora"


def _wanted(root: Path, known: Settings | None, target: Target, asked: str | None) -> Settings:
    # Extras add up, so that `scripts/edgelora` does not undo `scripts/test`; the second environment follows the first.
    first = Environment(root, TARGETS["edgelora"].name).settings()
    recorded = known or first
    chosen = asked or (recorded.backend if recorded else backend.default_backend())
    extras = {*target.extras, *(known.extras if known else ())}
    return Settings(chosen, tuple(sorted(extras)))


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise Interrupted(signum)
