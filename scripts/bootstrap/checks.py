"""What a machine must have before anything is made: Python's venv, a compiler, tools of the backend, room on disk."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bootstrap.errors import SetupError
from bootstrap.packages import Need, venv_need

GB = 1_000_000_000
TEMPORARY_GB = 1.0  # what pip's downloads and the compiler's objects take while llama-cpp-python is built
PROBE = "#include <vector>\nint main() { return std::vector<int>(1)[0]; }\n"


def python_version() -> str:
    """The running Python's version as packages are named, such as 3.11."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def missing_python_parts() -> list[Need]:
    """The need for venv and ensurepip where this Python came without them."""
    complete = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
    return [] if complete else [venv_need(python_version())]


def compiler() -> str | None:
    """The C++ compiler that CMake will take, if it can make a program with the standard library."""
    if sys.platform == "darwin" and not _succeeds(["xcode-select", "-p"]):
        return None  # /usr/bin/c++ is there all the same, and would open a dialogue
    c = shlex.split(os.environ.get("CC", "")) or _first("cc", "gcc", "clang")
    cxx = shlex.split(os.environ.get("CXX", "")) or _first("c++", "g++", "clang++")
    if not (c and cxx):
        return None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp")
        source.write_text(PROBE, encoding="utf-8")
        works = _succeeds([*cxx, "-std=c++17", str(source), "-o", str(Path(folder, "probe"))])
    return cxx[0] if works else None


def check_disk(folder: Path, need_gb: float) -> float:
    """Free gigabytes where `folder` lies; refuse when they, or those for temporary files, do not suffice."""
    temporary = Path(tempfile.gettempdir())
    if folder.stat().st_dev == temporary.stat().st_dev:
        return _check_room(folder, need_gb + TEMPORARY_GB, "free some")
    _check_room(temporary, TEMPORARY_GB, "free some, or set TMPDIR to a folder with more room,")
    return _check_room(folder, need_gb, "free some")


def _check_room(folder: Path, need_gb: float, advice: str) -> float:
    free = shutil.disk_usage(folder).free / GB
    if free < need_gb:
        raise SetupError(
            f"The set-up needs {need_gb:.1f} GB of disk at {folder}, where {free:.1f} GB are free: "
            f"{advice} and start again."
        )
    return free


def _first(*names: str) -> list[str]:
    return next(([name] for name in names if shutil.which(name)), [])


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False
