"""What somebody wants of a merge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Precision = Literal["auto", "same", "f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, slots=True)
class MergeMember:
    """An adapter in any form that can be merged, the user's scale, and the name that people know it by."""

    path: Path
    scale: float = 1.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """How to merge.

    ``source`` is the same base, unquantized: it is then merged there and quantized once. ``force`` writes even what
    keeps little of the adapters. ``threads`` None takes all processors that this process may use.
    """

    precision: Precision = "auto"
    source: Path | None = None
    verify: bool = True
    force: bool = False
    threads: int | None = None
