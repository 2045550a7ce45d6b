"""A program that is told to end just when a process of its own has been begun; run as a script."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing import util
from typing import TYPE_CHECKING

from edgelora.engine.isolated import IsolatedProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

_begin = util.spawnv_passfds  # type: ignore[attr-defined]


def begin_and_be_told_to_end(path: bytes, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
    """Before the new process is told what to run."""
    pid: int = _begin(path, arguments, descriptors)
    if "--multiprocessing-fork" in arguments:
        os.kill(os.getpid(), signal.SIGTERM)
    return pid


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    util.spawnv_passfds = begin_and_be_told_to_end  # type: ignore[attr-defined]
    IsolatedProcess("told-to-end", print)
    print("it was not told to end")
