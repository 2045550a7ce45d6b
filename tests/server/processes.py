"""Servers in processes of their own, whose log is a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.server.serving import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parent.parent.parent
SOURCES = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "convert")))
CLI = ("-m", "edgelora.cli")


def environment(adapters: Path, **more: str) -> dict[str, str]:
    """That of programs whose adapter folder is ``adapters``."""
    return {**os.environ, "PYTHONPATH": SOURCES, "EDGELORA_ADAPTERS": str(adapters), **more}


def adapters_command(adapters: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """``edgelora adapters ...`` in another process."""
    command = [sys.executable, *CLI, "adapters", *map(str, arguments)]
    return subprocess.Popen(command, env=environment(adapters), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class ServerProcess:
    """``edgelora serve``, or another server that says where it listens; ``url`` once it does."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen([sys.executable, *command], stderr=file, env=dict(environment))
        until(lambda: self.url or self.process.poll() is not None, tries=12_000)
        assert self.url, self.log

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text("utf-8", "replace")

    @property
    def url(self) -> str:
        """Where it listens; empty while it does not."""
        found = re.search(r"listening on (\S+)\n", self.log)
        return found[1] if found else ""

    @property
    def engine(self) -> psutil.Process:
        """The process that computes."""
        children = psutil.Process(self.process.pid).children()
        (engine,) = [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]
        return engine

    def end(self) -> int:
        """Let it finish; its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


@contextmanager
def server_process(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[ServerProcess]:
    """A server until the end of the block."""
    server = ServerProcess(command, log, environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(PATIENCE_S)
