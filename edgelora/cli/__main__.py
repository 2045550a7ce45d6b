"""``python -m edgelora.cli``."""

from edgelora.cli import main

if __name__ == "__main__":
    main()
