"""The command line: one file a command, and the only place that prints."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``edgelora`` with the arguments of this process, and exit."""
    from edgelora.cli.boundary import guarded
    from edgelora.cli.root import root

    sys.exit(guarded(root, sys.argv[1:]))
