"""Is a source what the base was made of? Some rows of each tensor tell.

Another model, and rows in another order, are as far away as their own length. Another fine-tune is nearer, but further
away than rounding to the base's type explains, unless that is coarse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import MergeError
from edgelora.native.quantize import dequantize, needs_importance, quantize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgelora.merge.base import BaseTensor
    from edgelora.merge.readable import Readable

    Values = NDArray[np.float32]

ROWS = 16
"""Rows that are compared, at random places: in a wrong order the ends of heads are often where they should be."""

_TIMES = 1.5
"""How much further away than plain rounding a base may be. Rounding with an importance of columns that spread over e^3
made up to 1.3 times its error in the types from Q2_K on, 1.5 times in those below."""

_ANYWAY = 0.005
"""Distance that is allowed besides, for a base that was made of a file in BF16, which is off by 0.0017."""


def require_same(path: Path, source: Readable, tensor: BaseTensor, hint: str) -> None:
    """Raise MergeError, with ``hint``, unless ``tensor`` of the base holds the rounded values of ``source``.

    ``path`` is named as the source's. Raises QuantizationError where the base's type cannot be decoded.
    """
    chosen = np.random.default_rng(0).integers(tensor.n_rows, size=ROWS)
    rows = np.unique(chosen).tolist()
    values, stored = _rows(source, rows), _rows(tensor, rows)
    if not np.isfinite(values).all():
        raise MergeError(f"{path}: {source.name} holds values that are not finite (NaN or infinity)", hint)
    distance, rounding = _distance(stored, values), _distance(_rounded(values, tensor.type_name), values)
    if not distance <= _TIMES * rounding + _ANYWAY:
        raise MergeError(
            f"{path}: this is not the model that the base was made of: the values of {source.name} are "
            f"{100 * distance:.1f} % away from the base's, of which {tensor.type_name} explains {100 * rounding:.1f} %",
            hint,
        )


def _rows(tensor: Readable, rows: Sequence[int]) -> Values:
    return dequantize(tensor.type_name, np.concatenate([tensor.rows(row, 1) for row in rows]))


def _rounded(values: Values, type_name: str) -> Values:
    importance = np.ones(values.shape[1], np.float32) if needs_importance(type_name) else None
    return dequantize(type_name, quantize(type_name, values, importance=importance))


def _distance(found: Values, expected: Values) -> float:
    """Of rows relative to their own lengths, root mean square; a row of zeros counts as one of length 1."""
    lengths = np.square(expected, dtype=np.float64).sum(1)
    distances = np.square(found - expected, dtype=np.float64).sum(1)
    return float(np.sqrt(np.mean(distances / np.where(lengths > 0, lengths, 1))))
