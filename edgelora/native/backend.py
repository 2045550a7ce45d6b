"""The native libraries of this process: loaded once, started once, their log kept off every screen."""

from __future__ import annotations

import ctypes
import functools
from collections import deque
from pathlib import Path

import llama_cpp
from llama_cpp import _ctypes_extensions

_WARNING, _ERROR, _CONTINUED = 3, 4, 5  # ggml_log_level, ggml/include/ggml.h

_recent: deque[str] = deque(maxlen=20)
_level = 0


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator, unused-ignore]
def _keep(level: int, text: bytes, user_data: object) -> None:
    """Remember warnings and errors, for the error message of a call that fails; everything else is dropped."""
    global _level
    _level = _level if level == _CONTINUED else level
    if _level in (_WARNING, _ERROR) and text:
        _recent.append(text.decode("utf-8", "replace").strip())


@functools.cache
def start() -> None:
    """Start llama.cpp in this process with its log captured. Safe to call again."""
    llama_cpp.llama_log_set(_keep, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()


def forget_log() -> None:
    """Drop what was captured, before a call whose failure shall be explained."""
    _recent.clear()


def recent_log() -> str:
    """The native warnings and errors since :func:`forget_log`, in one line; empty if there were none."""
    return "; ".join(line for line in _recent if line)


@functools.cache
def ggml() -> ctypes.CDLL:
    """libggml-base, for the functions that llama_cpp does not bind."""
    folder = Path(llama_cpp.__file__).parent / "lib"
    return _ctypes_extensions.load_shared_library("ggml-base", folder)  # type: ignore[no-any-return, unused-ignore]


@functools.cache
def can_offload() -> bool:
    """Was llama-cpp-python built with a GPU backend that this machine has?"""
    start()
    return bool(llama_cpp.llama_supports_gpu_offload())
