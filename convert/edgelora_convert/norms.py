"""How large a change is beside the weight that it changes: ‖s·B·A‖ and ‖W‖, both Frobenius norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import GGUFError
from edgelora.gguf.data import tensor_rows
from edgelora.types import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edgelora.gguf.header import Header, TensorInfo
    from edgelora.types import ReportProgress

    Values = NDArray[np.float32]

SAMPLED_ROWS = 64
"""Rows of a tensor that an estimate reads."""

_CHUNK_VALUES = 1 << 20
"""Values that are decoded, or turned into float64, at once."""


def product_norm(a: Values, b: Values) -> float:
    """‖B·A‖ of A [..., rank, n_in] and B [..., n_out, rank], over all matrices of a stack, in float64.

    ‖B·A‖² = Σ (BᵀB)∘(AAᵀ), so nothing larger than rank x rank is formed.
    """
    pairs = zip(_matrices(a), _matrices(b), strict=True)
    squared = sum(float(np.vdot(_gram(one_b), _gram(one_a.T))) for one_a, one_b in pairs)
    return math.sqrt(max(squared, 0.0))


def _matrices(values: Values) -> Values:
    return values.reshape(-1, *values.shape[-2:])


def _gram(tall: Values) -> NDArray[np.float64]:
    """XᵀX of X [n, rank]."""
    rank = tall.shape[1]
    step = max(1, _CHUNK_VALUES // rank)
    total = np.zeros((rank, rank))
    for start in range(0, len(tall), step):
        chunk = tall[start : start + step].astype(np.float64)
        total += chunk.T @ chunk
    return total


def base_norms(
    header: Header, tensors: Sequence[TensorInfo], exact: bool, progress: ReportProgress
) -> dict[str, float | None]:
    """``base_norm`` of several tensors, by name."""
    found = {}
    for done, info in enumerate(tensors):
        progress(Progress("measuring", done, len(tensors), "tensors"))
        found[info.name] = base_norm(header, info, exact)
    progress(Progress("measuring", len(tensors), len(tensors), "tensors"))
    return found


def base_norm(header: Header, info: TensorInfo, exact: bool) -> float | None:
    """‖W‖ of a tensor of the base, of a stack over all its matrices; from 64 evenly spread rows unless ``exact``.

    None where its values cannot be decoded here, or are not finite.
    """
    n_rows = info.n_elements // info.shape[0]
    rows = range(n_rows) if exact or n_rows <= SAMPLED_ROWS else _evenly_spread(n_rows)
    try:
        squared = sum(float(np.square(values, dtype=np.float64).sum()) for values in _decoded(header, info, rows))
    except GGUFError:
        return None
    return math.sqrt(squared * n_rows / len(rows)) if math.isfinite(squared) else None


def _evenly_spread(n_rows: int) -> Sequence[int]:
    """The middle row of each of 64 equal parts."""
    return [(2 * part + 1) * n_rows // (2 * SAMPLED_ROWS) for part in range(SAMPLED_ROWS)]


def _decoded(header: Header, info: TensorInfo, rows: Sequence[int]) -> Iterator[Values]:
    step = max(1, _CHUNK_VALUES // info.shape[0])
    for start in range(0, len(rows), step):
        yield tensor_rows(header, info, rows[start : start + step])
