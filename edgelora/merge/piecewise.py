"""The change of one tensor as the sum of what all adapters do to its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import MergeError
from edgelora.native.quantize import dequantize

if TYPE_CHECKING:
    from edgelora.merge.base import Base
    from edgelora.merge.pieces import RowChange, Values


@dataclass(frozen=True, slots=True)
class PiecewiseChange:
    """See :class:`changes.TensorChange`.

    ``pieces`` are those of each matrix of a stack of matrices with ``rows_per_matrix`` rows, with their scales.
    ``stored_scales`` are what llama.cpp multiplies the products of each matrix with, before it adds those of adapters
    (build_lora_mm in src/llama-graph.cpp), so that a stored value counts for more than itself.
    """

    pieces: Mapping[int, Sequence[tuple[float, RowChange]]]
    rows_per_matrix: int
    stored_scales: tuple[float, ...] = ()

    def apply(self, first_row: int, values: Values) -> Values:
        """The new values of the rows from ``first_row`` on, whose old ones are ``values [n, n_cols]``.

        They may be beyond all range, which is for those to refuse who store them.
        """
        new = values.copy()
        for matrix, first, here in _by_matrix(first_row, len(values), self.rows_per_matrix):
            stored_scale = self.stored_scales[matrix] if self.stored_scales else 1.0
            real = values[here] if stored_scale == 1 else values[here] * np.float32(stored_scale)
            with np.errstate(over="ignore", invalid="ignore"):
                for scale, piece in self.pieces.get(matrix, ()):
                    _add(new[here], real, first, scale / stored_scale, piece)
        return new


def _add(new: Values, values: Values, first: int, scale: float, piece: RowChange) -> None:
    """Add ``scale`` times a piece's part to the rows from ``first`` on, as far as it changes them."""
    start, end = max(first, piece.first), min(first + len(values), piece.first + piece.n_rows)
    if start < end:
        here = slice(start - first, end - first)
        delta = piece.delta(start - piece.first, values[here])
        new[here] += delta if scale == 1 else delta * np.float32(scale)


def _by_matrix(first_row: int, count: int, rows_per_matrix: int) -> Iterator[tuple[int, int, slice]]:
    """The rows, cut at the ends of matrices: the matrix, the first row in it, and where they are among the rows."""
    row = first_row
    while row < first_row + count:
        matrix, first = divmod(row, rows_per_matrix)
        end = min(first_row + count, (matrix + 1) * rows_per_matrix)
        yield matrix, first, slice(row - first_row, end - first_row)
        row = end


def stored_scales(base: Base, name: str) -> tuple[float, ...]:
    """What ``NAME.scale`` beside ``NAME.weight`` holds: one number, or one for each matrix of a stack.

    Raises MergeError where that cannot be.
    """
    scales = base.tensors.get(name.removesuffix(".weight") + ".scale")
    if scales is None or not name.endswith(".weight"):
        return ()
    values = dequantize(scales.type_name, scales.rows(0, scales.n_rows)).reshape(-1)
    if not (np.isfinite(values).all() and values.all()) or values.size != base.tensors[name].n_matrices:
        raise MergeError(f"{base.path}: {scales.name} holds no usable scales for {name}", "The base may be damaged.")
    return tuple(values.tolist())
