"""Entry of the set-up: `python scripts/bootstrap edgelora ARGS...`, `... test` or `... train`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bootstrap.setup import main

sys.exit(main(sys.argv[1:]))
