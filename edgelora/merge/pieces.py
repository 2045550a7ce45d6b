"""What an adapter does to some rows of one matrix of the base, in each of the forms that adapters have.

Everything is a difference from the base's own values, so a scale is a factor of it, and several adapters are a sum.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Hashable

    from edgelora_convert.layout.wholes import Entries, MatrixRows

Values = NDArray[np.float32]
Factors = tuple[Values, Values]
LoadFactors = Callable[[], Factors]
"""Gives left [n_rows, rank] and right [rank, n_cols], whose product is what a low-rank adapter adds."""

CACHED_BYTES = 128 << 20


class RowChange(Protocol):
    """A change of the rows from ``first`` on. Several threads may ask for it, in any order."""

    @property
    def first(self) -> int:
        """The first row that changes, within its matrix."""

    @property
    def n_rows(self) -> int:
        """How many rows change."""

    def delta(self, start: int, values: Values) -> Values:
        """What is to be added to the rows whose own values are ``values [n, n_cols]``; ``start`` counts from first."""


@dataclass(frozen=True, slots=True, eq=False)
class LowRank:
    """W + B·A."""

    first: int
    n_rows: int
    factors: LoadFactors

    def delta(self, start: int, values: Values) -> Values:
        """See :class:`RowChange`."""
        left, right = self.factors()
        return left[start : start + len(values)] @ right


@dataclass(frozen=True, slots=True, eq=False)
class RescaledRows:
    """DoRA: the rows of W + B·A, brought to the norms ``magnitude [n_rows]``.

    peft/tuners/lora/dora.py, DoraLinearLayer. W is what the base holds, which for a quantized one is not exactly what
    the norms were trained with.
    """

    first: int
    n_rows: int
    factors: LoadFactors
    magnitude: Values

    def delta(self, start: int, values: Values) -> Values:
        """See :class:`RowChange`."""
        left, right = self.factors()
        changed: Values = values + left[start : start + len(values)] @ right
        norms = np.linalg.norm(changed, axis=1, keepdims=True)
        return _scaled(changed, self.magnitude[start : start + len(values), None], norms) - values


@dataclass(frozen=True, slots=True, eq=False)
class RescaledColumns:
    """DoRA of an embedding, whose columns are brought to the norms ``magnitude [n_cols]``.

    peft/tuners/lora/dora.py, DoraEmbeddingLayer. ``norms`` gives those of all rows of W + B·A together.
    """

    first: int
    n_rows: int
    factors: LoadFactors
    magnitude: Values
    norms: Callable[[], Values]

    def delta(self, start: int, values: Values) -> Values:
        """See :class:`RowChange`."""
        left, right = self.factors()
        changed: Values = values + left[start : start + len(values)] @ right
        return _scaled(changed, self.magnitude, self.norms()) - values


@dataclass(frozen=True, slots=True, eq=False)
class NewRows:
    """Rows of a weight that was trained whole."""

    rows: MatrixRows

    @property
    def first(self) -> int:
        """See :class:`RowChange`."""
        return self.rows.first

    @property
    def n_rows(self) -> int:
        """See :class:`RowChange`."""
        return self.rows.n_rows

    def delta(self, start: int, values: Values) -> Values:
        """See :class:`RowChange`."""
        return self.rows.load(start, len(values)) - values


@dataclass(frozen=True, slots=True, eq=False)
class NewEntries:
    """Entries of a vector, which is one row: of a bias or a norm."""

    entries: Entries
    first: int = 0
    n_rows: int = 1

    def delta(self, start: int, values: Values) -> Values:
        """See :class:`RowChange`."""
        loaded = self.entries.load()
        here = slice(self.entries.first, self.entries.first + len(loaded))
        delta = np.zeros_like(values)
        delta[0, here] = loaded if self.entries.added is not None else loaded - values[0, here]
        return delta


def _scaled(values: Values, magnitude: Values, norms: Values) -> Values:
    """What has no direction stays 0."""
    factor = np.divide(magnitude, norms, out=np.zeros(norms.shape, np.float32), where=norms > 0)
    return values * factor


class Recent:
    """Remembers what was loaded last, up to a number of bytes; threads ask for the same things again and again."""

    def __init__(self, limit: int = CACHED_BYTES) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[Hashable, Factors] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: LoadFactors) -> Factors:
        """What ``load`` gives, or gave for the same ``key`` not long ago."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = load()
                self._size += _nbytes(self._kept[key])
                while self._size > self._limit and len(self._kept) > 1:
                    self._size -= _nbytes(self._kept.popitem(last=False)[1])
            self._kept.move_to_end(key)
            return self._kept[key]


def _nbytes(factors: Factors) -> int:
    return sum(values.nbytes for values in factors)
