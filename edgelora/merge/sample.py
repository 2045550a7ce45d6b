"""Some rows of a tensor, before and after its change, from which the rest is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgelora.merge.moments import Moments, energy
from edgelora.native.quantize import dequantize

if TYPE_CHECKING:
    from edgelora.merge.changes import TensorChange
    from edgelora.merge.grids import Bytes, Floats
    from edgelora.merge.readable import Readable

ROWS = 64
"""Rows of a sample. Losses of rows differ little within a tensor: more rows change no choice, only the time."""

_RUN = 8
"""Neighbouring rows that are read at once."""


@dataclass(frozen=True, slots=True)
class Sample:
    """``n`` changed rows: ``raw`` uint8 ``[n, row_bytes]`` as stored, ``old`` and ``new`` float32 ``[n, n_cols]``.

    Without rows (``n`` = 0) nothing changes in the whole tensor.
    """

    raw: Bytes
    old: Floats
    new: Floats

    def loss(self, stored: Floats, moments: Moments) -> float:
        """The error that ``stored [n, n_cols]`` makes in the layer's output, relative to its change; both squared."""
        change = energy(self.new - self.old, moments)
        if change <= 0 and moments is not None:  # only columns change that no activation reached: judge by the weights
            return self.loss(stored, None)
        return energy(stored - self.new, moments) / change if change else 0.0  # too small for its square


def sample_of(tensor: Readable, change: TensorChange) -> Sample:
    """Changed rows from all over the tensor, always the same ones.

    Where a change touches so few rows that none is among them, as of single tokens, it is looked for everywhere.
    """
    spread = _changed(_read(tensor, change, _RUN, _spread(tensor.n_rows)))
    return spread if len(spread.new) else _searched(tensor, change)


def _spread(n_rows: int) -> list[int]:
    runs = min(ROWS, n_rows) // _RUN or 1
    return [(n_rows - min(_RUN, n_rows)) * run // max(runs - 1, 1) for run in range(runs)]


def _searched(tensor: Readable, change: TensorChange) -> Sample:
    count = max(1, (1 << 19) // tensor.shape[0])
    for first in range(0, tensor.n_rows, count):
        found = _changed(_read(tensor, change, count, [first]))
        if len(found.new):
            break
    return Sample(found.raw[:ROWS], found.old[:ROWS], found.new[:ROWS])


def _read(tensor: Readable, change: TensorChange, count: int, starts: list[int]) -> Sample:
    runs = [_run(tensor, change, first, min(count, tensor.n_rows - first)) for first in starts]
    raw, old, new = zip(*runs, strict=True)
    return Sample(np.concatenate(raw), np.concatenate(old), np.concatenate(new))


def _run(tensor: Readable, change: TensorChange, first: int, count: int) -> tuple[Bytes, Floats, Floats]:
    raw = tensor.rows(first, count)
    old = dequantize(tensor.type_name, raw)
    return raw, old, change.apply(first, old)


def _changed(sample: Sample) -> Sample:
    rows = (sample.new != sample.old).any(1)
    return Sample(sample.raw[rows], sample.old[rows], sample.new[rows])
