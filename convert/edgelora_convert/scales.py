"""Turns PEFT's scale of every module into the one alpha of a GGUF adapter.

PEFT scales B·A with alpha/r (or alpha/√r) of the module; llama.cpp with alpha/R, one alpha for the file and R the rank
of the pair. What is left over is folded into B.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


def fold_scales(scales: Mapping[str, float], ranks: Mapping[str, int]) -> tuple[float, dict[str, float]]:
    """The file's alpha, and for every module the factor that B must be multiplied with.

    alpha is the value that most modules want, so that a uniform adapter (plain or rank-stabilised) has only factors
    of exactly 1. Modules with scale 0 must have been left out: an alpha of 0 means "no scale" to llama.cpp.
    """
    wanted = {module: float(np.float32(scale * ranks[module])) for module, scale in scales.items()}
    if not wanted:
        return 0.0, {}
    alpha = Counter(wanted.values()).most_common(1)[0][0]
    return alpha, {module: value / alpha for module, value in wanted.items()}
