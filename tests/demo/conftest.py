"""The demo's own modules are scripts, not part of the package."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parents[1] / "scripts"), str(HERE)]
