"""``python -m edgelora.cli``."""

from edgelora.cli import main

main()
