"""Where an adapter of two files lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Configured:
    """Weights with their configuration beside them; both files exist."""

    name: str
    folder: Path
    config: Path
    weights: Path
