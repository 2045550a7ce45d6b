"""pip inside an environment, under pip's own settings of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.environment import Environment
from bootstrap.errors import SetupError
from bootstrap.process import run_logged
from bootstrap.report import Report

TAIL_LINES = 12
ERROR_LINES = 8
FIRST_ERROR = re.compile(r"CMake Error|fatal error:|: error:")
OPTIONS = ("--no-input", "--disable-pip-version-check")
HINTS = {
    "No space left on device": "The disk is full: free some room",
    "no GPU was detected": "CUDA finds no GPU here: see that the NVIDIA driver works",
    "CMAKE_CXX_COMPILER": "The C++ compiler does not work: see the log",
    "Killed signal terminated program": "The compiler ran out of memory: set CMAKE_BUILD_PARALLEL_LEVEL=1",
}


@dataclass(frozen=True)
class Pip:
    """Runs pip of `environment`; isolated from PYTHONPATH and the user's own packages, not from pip's settings."""

    environment: Environment
    report: Report
    lock: int

    def install(self, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        """Install what `arguments` say; on failure the end of the log and what to do."""
        code, output = self._run("install", "--progress-bar", "off", *arguments, variables=variables)
        if code != 0:
            raise SetupError(self._failure(output))

    def check_index(self, requirement: str) -> None:
        """Fetch one small package, to see that pip reaches an index."""
        code, output = self._download(requirement)
        if code != 0:
            raise SetupError(
                "pip cannot fetch packages on this machine. It said:\n"
                f"{_tail(output, 6)}\n"
                "Is the network up? A proxy or a mirror is set once for pip, with one of\n"
                "    pip config set global.proxy URL\n"
                "    pip config set global.index-url URL\n"
                "Then start again."
            )

    def has_wheel(self, requirement: str) -> bool:
        """Whether pip reaches a ready wheel of `requirement`, so that nothing need be compiled."""
        return self._download("--only-binary=:all:", requirement)[0] == 0

    def cache_folder(self) -> Path | None:
        """Where pip keeps downloads and wheels; None when that is switched off."""
        found = subprocess.run(self._command("cache", "dir"), check=False, capture_output=True, text=True)
        return Path(found.stdout.strip()) if found.returncode == 0 else None

    def _download(self, *arguments: str) -> tuple[int, str]:
        with tempfile.TemporaryDirectory() as folder:
            return self._run("download", "--no-deps", "--retries", "1", "--dest", folder, *arguments)

    def _run(self, *arguments: str, variables: Mapping[str, str] | None = None) -> tuple[int, str]:
        # pip's own `user = true` would be an error in an environment
        all_variables = {**(variables or os.environ), "PIP_USER": "0"}
        return run_logged(self._command(*arguments), all_variables, self.environment.log, self.report, self.lock)

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.environment.python), "-I", "-m", "pip", *arguments, *OPTIONS]

    def _failure(self, output: str) -> str:
        hint = next((advice for sign, advice in HINTS.items() if sign in output), "See what pip says above")
        return (
            f"pip did not succeed. From {self.environment.log}:\n{_first_error(output)}{_tail(output, TAIL_LINES)}\n"
            f"{hint}, then start again: what is downloaded and built is kept."
        )


def _first_error(text: str) -> str:
    """The lines where CMake or a compiler first complained: far above what pip says at the end."""
    lines = text.rstrip().splitlines()
    start = next((index for index, line in enumerate(lines) if FIRST_ERROR.search(line)), len(lines))
    if start >= len(lines) - TAIL_LINES:
        return ""
    return _tail("\n".join(lines[start : start + ERROR_LINES]), ERROR_LINES) + "\n    [...]\n"


def _tail(text: str, lines: int) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:])
