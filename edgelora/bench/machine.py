"""On what a measurement was made; without it, no number means anything."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import psutil

from edgelora import __version__


def describe_machine(threads: int) -> dict[str, str | int]:
    """Processor, memory, system and versions."""
    return {
        "cpu": _cpu(),
        "cores": psutil.cpu_count(logical=False) or 1,
        "threads": threads,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "llama_cpp_python": version("llama-cpp-python"),
        "edgelora": __version__,
    }


def _cpu() -> str:
    """The processor's name; the platform module only knows its architecture on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
