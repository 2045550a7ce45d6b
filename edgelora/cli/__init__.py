"""The command line: one file a command, and the only place that prints."""

from __future__ import annotations

import sys
from io import TextIOWrapper


def main() -> None:
    """Run ``edgelora`` with the arguments of this process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an answer may hold what the terminal's encoding does not
    try:
        from edgelora.cli.boundary import guarded
        from edgelora.cli.root import root

        code = guarded(root, sys.argv[1:])
    except KeyboardInterrupt:  # while importing
        code = 130
    sys.exit(code)
