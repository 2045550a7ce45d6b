"""How much an error in a tensor's weights matters: second moments of the activations that meet them.

Moments are ``None`` where nothing is known, float32 ``[n_in]`` for the mean of x² by column, or float32
``[n_in, n_in]`` for the mean of x·xᵀ. Their scale does not matter, only ratios are used.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Moments: TypeAlias = NDArray[np.float32] | None


def energy(rows: NDArray[np.float32], moments: Moments) -> float:
    """How large the output is, in the mean square, that weights ``rows [n, n_in]`` give: the sum of their x·H·xᵀ."""
    if moments is None:
        return float(np.vdot(rows, rows))
    if moments.ndim == 1:
        return float(np.einsum("ij,ij,j", rows, rows, moments, optimize=False))
    return float(np.vdot(rows @ moments, rows))


def by_column(moments: Moments) -> NDArray[np.float32] | None:
    """The importance of each column, float32 ``[n_in]``, as quantizers take it; None where nothing is known."""
    if moments is None or moments.ndim == 1:
        return moments
    return np.ascontiguousarray(moments.diagonal())
