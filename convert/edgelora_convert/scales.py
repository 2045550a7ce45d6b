"""Turns the scale of every update into the one alpha of a GGUF adapter.

An update has its own scale s; llama.cpp multiplies B·A with alpha/R, one alpha for the file and R the rank of the
tensor's factors (``llama_adapter_lora_weight::get_scale``). What is left over is folded into B.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgelora_convert.assemble import Target

LEAST_SCALE = 2.0**-100
"""Smaller scales count as 0: what is left of B·A vanishes in float32."""


def wanted_alpha(scale: float, rank: int) -> float:
    """The alpha with which a tensor of this rank needs no folding."""
    return float(np.float32(scale * rank))


def file_alpha(targets: Iterable[Target]) -> float:
    """The alpha that most updates want, so that a uniform adapter, plain or rank-stabilised, keeps its B.

    0 where there is none; updates with scale 0 must have been left out, because alpha 0 means "no scale" to llama.cpp.
    """
    wanted = Counter(wanted_alpha(update.scale, target.rank) for target in targets for update in target.updates)
    return wanted.most_common(1)[0][0] if wanted else 0.0
