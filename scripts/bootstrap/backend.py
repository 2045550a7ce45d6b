"""What llama.cpp is built for: the choices, what each needs, and how pip is told."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bootstrap.errors import SetupError
from bootstrap.packages import CUDA, VULKAN, Need

CHOICES = ("cpu", "cuda", "metal", "vulkan")
CUDA_FOLDER = "/usr/local/cuda/bin"  # where NVIDIA's installers put nvcc, often without adding it to the PATH
USAGE = f"usage: scripts/edgelora [--backend {'|'.join(CHOICES)}] COMMAND ..."


@dataclass(frozen=True)
class Build:
    """The settings under which pip gets llama-cpp-python."""

    environment: dict[str, str]
    library: str | None  # file pattern in llama_cpp/lib that only this backend's build has
    own_cache: str | None  # pip's wheel cache does not know CMAKE_ARGS, so a special build needs one of its own


def default_backend() -> str:
    """What llama-cpp-python builds when nothing is said: Metal on a Mac, where its build forces it, else the CPU."""
    return "metal" if sys.platform == "darwin" else "cpu"


def split_option(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Take a leading `--backend B` or `--backend=B` off the command line; exit code 2 for a wrong one."""
    if not arguments or not arguments[0].startswith("--backend"):
        return None, arguments
    option, _, value = arguments[0].partition("=")
    rest = arguments[1:]
    if option != "--backend":
        return None, arguments
    if not value and rest:
        value, rest = rest[0], rest[1:]
    if value not in CHOICES:
        raise SetupError(f"{USAGE}\n--backend takes one of {', '.join(CHOICES)}, not {value!r}.", code=2)
    return value, rest


def check_platform(backend: str) -> None:
    """Refuse a backend that cannot be built on this system."""
    if sys.platform == "darwin" and backend != "metal":
        hint = " To compute on the CPU, run with --gpu-layers 0." if backend == "cpu" else ""
        raise SetupError(f"On macOS llama-cpp-python is always built with Metal: use --backend metal.{hint}")
    if sys.platform != "darwin" and backend == "metal":
        raise SetupError("--backend metal works on macOS only: use cpu, cuda or vulkan here.")


def missing_tools(backend: str) -> list[Need]:
    """What the backend's build needs beside the compiler and does not find."""
    if backend == "cuda":
        return [] if "CUDACXX" in os.environ or shutil.which("nvcc", path=_cuda_path()) else [CUDA]
    if backend == "vulkan":
        return [] if shutil.which("glslc") else [VULKAN]
    return []


def build_for(backend: str) -> Build:
    """How pip builds `backend`; all cores are used unless CMAKE_BUILD_PARALLEL_LEVEL says otherwise."""
    environment = dict(os.environ)
    environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    if backend == default_backend():
        return Build(environment, library=None, own_cache=None)
    arguments = f"{environment.get('CMAKE_ARGS', '')} -DGGML_{backend.upper()}=on"
    environment["CMAKE_ARGS"] = arguments.strip()
    if backend == "cuda":
        environment["PATH"] = _cuda_path()
    return Build(environment, library=f"libggml-{backend}*", own_cache=f"edgelora-{backend}")


def is_built(folder: Path, build: Build) -> bool:
    """Whether the llama-cpp-python installed in the environment `folder` carries the wanted backend."""
    if build.library is None:
        return True
    return any(folder.glob(f"lib/python*/site-packages/llama_cpp/lib/{build.library}"))


def _cuda_path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:{CUDA_FOLDER}"
