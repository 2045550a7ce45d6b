"""What Python's multiprocessing needs before an engine process is started."""

from __future__ import annotations

import sys


def start_resource_tracker() -> None:
    """Start multiprocessing's own helper process now, not together with the engine's.

    It inherits stderr, and Textual's stand-in for that has no descriptor. And once started it lets Ctrl-C through
    again, which must not reach an engine process that has not decided to ignore it yet.
    Source: ``ResourceTracker.ensure_running``, Lib/multiprocessing/resource_tracker.py.
    """
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()
