"""From what the converter found in an adapter to changes of rows of the base."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from edgelora_convert.layout.wholes import Entries
from edgelora_convert.update import Kind

from edgelora.errors import MergeError
from edgelora.merge.pieces import (
    Factors,
    LowRank,
    NewEntries,
    NewRows,
    Recent,
    RescaledColumns,
    RescaledRows,
    RowChange,
    Values,
)
from edgelora.native.quantize import dequantize

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgelora_convert.layout.placement import Piece
    from edgelora_convert.layout.wholes import Parameter
    from edgelora_convert.update import Matrix

    from edgelora.merge.base import BaseTensor

_CHUNK_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A change, and the matrix of the tensor that it is a change of. ``tied`` is as in :class:`update.Update`."""

    tensor: str
    matrix: int
    change: RowChange
    tied: bool


def place_piece(piece: Piece, tensor: BaseTensor, recent: Recent) -> Place:
    """What a piece of an update does to ``tensor``. Raises ValueError where that cannot be."""
    return Place(tensor.name, piece.stack or 0, _row_change(piece, tensor, recent), piece.update.tied)


def place_parameter(parameter: Parameter, *, tied: bool) -> Place:
    """What a weight, norm or bias does that was trained whole."""
    if isinstance(parameter, Entries):
        return Place(parameter.tensor, 0, NewEntries(parameter), tied)
    return Place(parameter.tensor, parameter.stack or 0, NewRows(parameter), tied)


def _row_change(piece: Piece, tensor: BaseTensor, recent: Recent) -> RowChange:
    looked_up = piece.update.kind is Kind.EMBEDDING
    n_rows = piece.shape[1 if looked_up else 0]

    def factors() -> Factors:
        return recent.get(id(piece), lambda: _factors(piece))

    magnitude = piece.update.magnitude
    if magnitude is None:
        return LowRank(piece.first, n_rows, factors)
    _check_magnitude(piece, magnitude)
    if looked_up:
        norms = cache(lambda: _column_norms(tensor, factors))
        return RescaledColumns(piece.first, n_rows, factors, _finite(piece, magnitude.load()), norms)
    values = _finite(piece, magnitude.load())
    return RescaledRows(piece.first, n_rows, factors, values if piece.rows is None else values[piece.rows])


def _factors(piece: Piece) -> Factors:
    """Left [n_rows, rank] and right [rank, n_cols] of the tensor's rows; an embedding's rows are its inputs."""
    update = piece.update
    with np.errstate(over="ignore", invalid="ignore"):  # said below
        a, b = piece.factors(update.a.load(), update.b.load() * np.float32(update.scale))
    left, right = (a.T, b.T) if update.kind is Kind.EMBEDDING else (b, a)
    return _finite(piece, np.ascontiguousarray(left)), _finite(piece, np.ascontiguousarray(right))


def _check_magnitude(piece: Piece, magnitude: Matrix) -> None:
    n_out, n_in = piece.update.b.shape[0], piece.update.a.shape[1]
    if magnitude.shape[0] != n_out:
        raise ValueError(f"it has {magnitude.shape[0]} magnitudes for {n_out} outputs")
    if piece.transposed:
        raise ValueError(f"{piece.tensor.name} of the base holds it the other way round, which a DoRA cannot follow")
    if piece.update.kind is Kind.EMBEDDING and piece.shape[1] != n_in:
        raise ValueError(f"its magnitudes are norms over {n_in} tokens, the base has {piece.shape[1]}")


def _finite(piece: Piece, values: Values) -> Values:
    if not np.isfinite(values).all():
        raise MergeError(
            f"{piece.update.module}: it holds values that are not finite (NaN or infinity)", "Its training went wrong."
        )
    return values


def _column_norms(tensor: BaseTensor, factors: Callable[[], Factors]) -> Values:
    """The norms of the columns of the whole tensor after B·A was added, in one pass over it."""
    left, right = factors()
    total = np.zeros(tensor.shape[0])
    step = max(1, _CHUNK_VALUES // tensor.shape[0])
    for first in range(0, tensor.n_rows, step):
        count = min(step, tensor.n_rows - first)
        changed = dequantize(tensor.type_name, tensor.rows(first, count)) + left[first : first + count] @ right
        total += np.square(changed, dtype=np.float64).sum(0)
    return np.sqrt(total).astype(np.float32)
