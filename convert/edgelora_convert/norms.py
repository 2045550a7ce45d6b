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

_CHUNK_VALUES = 1 << 17
"""Values that are decoded, or turned into float64, at once."""


def product_norm(a: Values, b: Values) -> float:
    """‖B·A‖ of A [..., rank, n_in] and B [..., n_out, rank], over all matrices of a stack, in float64."""
    pairs = zip(_matrices(a), _matrices(b), strict=True)
    return math.sqrt(max(0.0, sum(_product_squares(one_a, one_b) for one_a, one_b in pairs)))


def _matrices(values: Values) -> Values:
    return values.reshape(-1, *values.shape[-2:])


def _product_squares(a: Values, b: Values) -> float:
    """‖B·A‖², which is Σ (BᵀB)∘(AAᵀ): nothing larger than rank x rank is formed, and nothing larger than a factor."""
    (rank, n_in), n_out = a.shape, len(b)
    for factor, other in ((a, b), (b, a)):
        if (multiple := _of_identity(factor)) is not None:
            return multiple**2 * sum(float(np.square(chunk).sum()) for chunk in _chunks(other))
    if rank <= min(n_in, n_out):
        return float(np.vdot(_gram(b), _gram(a.T)))
    tall, wide = (b, a) if n_in <= n_out else (a.T, b.T)
    wide64 = wide.astype(np.float64)
    return sum(float(np.square(chunk @ wide64).sum()) for chunk in _chunks(tall))


def _of_identity(factor: Values) -> float | None:
    """c where a factor is c times the identity, as changes of full rank have one; else None."""
    first = factor[0, 0]
    if factor.shape[0] != factor.shape[1] or not (np.diagonal(factor) == first).all():
        return None
    return float(first) if np.count_nonzero(factor) <= len(factor) and first else None


def _gram(tall: Values) -> NDArray[np.float64]:
    """XᵀX of X [n, rank]."""
    total = np.zeros((tall.shape[1],) * 2)
    for chunk in _chunks(tall):
        total += chunk.T @ chunk
    return total


def _chunks(tall: Values) -> Iterator[NDArray[np.float64]]:
    """Some rows after the other, as float64."""
    step = max(1, _CHUNK_VALUES // tall.shape[1])
    return (tall[start : start + step].astype(np.float64) for start in range(0, len(tall), step))


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

    None where its values cannot be decoded here, are not finite, or are scaled by another tensor (BitNet, NVFP4).
    """
    if info.name.removesuffix(".weight") + ".scale" in header.tensors:
        return None
    n_rows = info.n_elements // info.shape[0]
    rows = range(n_rows) if exact or n_rows <= SAMPLED_ROWS else _evenly_spread(n_rows)
    try:
        squared = sum(_squares(values) for values in _decoded(header, info, rows))
    except GGUFError:
        return None
    return math.sqrt(squared * n_rows / len(rows)) if math.isfinite(squared) else None


def _squares(values: Values) -> float:
    """The sum of squares; float32 is enough within a row, and saves the time of making float64 of everything."""
    return float(np.einsum("ij,ij->i", values, values).sum(dtype=np.float64))


def _evenly_spread(n_rows: int) -> Sequence[int]:
    """The middle row of each of 64 equal parts."""
    return [(2 * part + 1) * n_rows // (2 * SAMPLED_ROWS) for part in range(SAMPLED_ROWS)]


def _decoded(header: Header, info: TensorInfo, rows: Sequence[int]) -> Iterator[Values]:
    step = max(1, _CHUNK_VALUES // info.shape[0])
    for start in range(0, len(rows), step):
        yield tensor_rows(header, info, rows[start : start + step])
