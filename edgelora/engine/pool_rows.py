"""Copies between an adapter's factors and its rows of the pool.

A has its rows on the first axis and B on the last, whatever other axes there are. A factor's rank rows go to runs of
neighbouring pool rows, and a run of B's columns is copied as one wide value for each of B's rows: three to five times
as fast as numpy's own way with single columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgelora.engine.factors import FloatArray

Rows = NDArray[np.intp]
"""Pool rows in ascending order."""

ROW_STEP = 64
"""Pool sizes are multiples of this where the budget allows: ggml's dot product takes so many values of a row of B at
once and the rest one by one, so that 16 rows take twice as long as 64, and 32 four times (docs/engine.md)."""


def rounded(rows: int, step: int = ROW_STEP) -> int:
    """The next multiple of ``step``."""
    return -(-rows // step) * step


def write_rows(a_pool: FloatArray, b_pool: FloatArray, rows: Rows, a: FloatArray, b: FloatArray) -> None:
    """Copy ``a`` [rank, ...] and ``b`` [..., rank] to ``rows``, of which there may be more: those become zero.

    They may hold the past.
    """
    rank = len(a)
    for at, row, count in _runs(rows[:rank]):
        a_pool[row : row + count] = a[at : at + count]
        _wide(b_pool, row, count)[...] = _wide(b, at, count)
    clear_rows(a_pool, b_pool, rows[rank:])


def clear_rows(a_pool: FloatArray, b_pool: FloatArray, rows: Rows) -> None:
    """Make ``rows`` zero."""
    for _, row, count in _runs(rows):
        a_pool[row : row + count] = 0
        b_pool[..., row : row + count] = 0


def read_rows(a_pool: FloatArray, b_pool: FloatArray, rows: Rows, a: FloatArray, b: FloatArray) -> None:
    """Copy ``rows`` into ``a`` [len(rows), ...] and ``b`` [..., len(rows)]."""
    for at, row, count in _runs(rows):
        a[at : at + count] = a_pool[row : row + count]
        _wide(b, at, count)[...] = _wide(b_pool, row, count)


def _runs(rows: Rows) -> Iterator[tuple[int, int, int]]:
    """Runs of neighbouring ``rows``: where each starts in ``rows``, its first row, and how many they are."""
    at = 0
    for end in (*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)):
        if end > at:
            yield at, int(rows[at]), end - at
            at = end


def _wide(matrix: FloatArray, start: int, count: int) -> NDArray[np.void]:
    """``count`` columns from ``start`` as one value for each row: a view [..., 1]."""
    return matrix[..., start : start + count].view(np.dtype((np.void, count * matrix.itemsize)))
