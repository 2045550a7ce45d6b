"""Choosing codes on a grid so that errors of neighbours cancel in the layer's output.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers": columns are rounded
one after another, and what one column misses is made up for by those that follow, as far as the activations of both
go together. The grid is given, so columns can come in any order; those with most activation come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgelora.merge.moments import trusted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgelora.merge.grids import Bytes, Floats, Grid

COLUMNS = 2048
"""Columns that make up for one another. Wider rows are cut: the work grows with the cube."""

_TOGETHER = 128
"""Columns whose errors are passed on to the rest in one product."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Columns in the order in which they are rounded, int ``[n]``.

    ``passed_on`` float32 ``[n, n]`` is upper triangular: row i says what column i's error, in units of the diagonal,
    takes from each later column. It is the Cholesky factor U of the inverse moments, H⁻¹ = Uᵀ·U.
    """

    columns: NDArray[np.intp]
    passed_on: Floats


def chains(moments: Floats) -> list[Chain]:
    """How to pass errors on for moments ``[n_in, n_in]``."""
    return [_chain(moments, start, min(start + COLUMNS, len(moments))) for start in range(0, len(moments), COLUMNS)]


def _chain(moments: Floats, start: int, end: int) -> Chain:
    columns = start + np.argsort(-moments.diagonal()[start:end], kind="stable")
    # H = R·Rᵀ with R upper triangular, from the ordinary factor of H turned around; then U is the inverse of R.
    turned = np.linalg.cholesky(trusted(moments, columns[::-1]))
    return Chain(columns, _inverse(turned[::-1, ::-1]).astype(np.float32))


def _inverse(upper: NDArray[np.floating]) -> NDArray[np.floating]:
    """The inverse of an upper triangular matrix, by halves: a sixth of the work that a general inverse takes."""
    n = len(upper)
    if n <= _TOGETHER:
        return np.triu(np.linalg.inv(upper))
    half = n // 2
    first, last = _inverse(upper[:half, :half]), _inverse(upper[half:, half:])
    return np.block([[first, -first @ upper[:half, half:] @ last], [np.zeros((n - half, half)), last]])


def rounded(grid: Grid, wanted: Floats, order: list[Chain]) -> Bytes:
    """Codes, uint8 ``[n, n_cols]``, that stand for ``wanted`` of the same shape as well as the grid can."""
    codes = np.empty(wanted.shape[::-1], np.uint8)
    for chain in order:
        _round_chain(grid, wanted.T[chain.columns], chain, codes)
    return np.ascontiguousarray(codes.T)


def _round_chain(grid: Grid, wanted: Floats, chain: Chain, codes: Bytes) -> None:
    """Fill the chain's columns of ``codes [n_cols, n]``. ``wanted [len(chain), n]`` is used up."""
    n = len(wanted)
    for first in range(0, n, _TOGETHER):
        last = min(first + _TOGETHER, n)
        errors = np.empty((last - first, wanted.shape[1]), np.float32)
        for at in range(first, last):
            column = chain.columns[at]
            codes[column], error = _round_column(grid, column, wanted[at])
            errors[at - first] = error / chain.passed_on[at, at]
            wanted[at + 1 : last] -= chain.passed_on[at, at + 1 : last, None] * errors[at - first]
        wanted[last:] -= chain.passed_on[first:last, last:].T @ errors


def _round_column(grid: Grid, column: int, wanted: Floats) -> tuple[Bytes, Floats]:
    scale, offset = grid.scale[:, column // grid.group], grid.offset[:, column // grid.group]
    codes = grid.levels.nearest(wanted, scale, offset)
    return codes, wanted - grid.levels.scaled(codes, scale, offset)
