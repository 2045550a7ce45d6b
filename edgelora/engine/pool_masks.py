"""Masks over the pool's rows: for each kind of tensor, what a selection multiplies every row with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgelora.engine.mask import FloatMatrix
from edgelora.engine.pool_rows import Rows
from edgelora.types import Selection

KEPT_MASKS = 1024
"""Masks are kept for so many selections; a scale that is dragged makes a new one with every step."""


class PoolMasks:
    """The scale of every row in every tensor, and masks of selections made of them.

    Tensors whose rows have the same scales are one *kind* and share a mask. ``columns`` are the rows that the graph
    sees. ``rows_of`` tells the rows of a resident adapter.
    """

    def __init__(self, tensors: Iterable[str], rows: int, rows_of: Callable[[str], Rows]) -> None:
        self._rows, self._rows_of = rows, rows_of
        self._scales = {name: np.zeros(rows, np.float32) for name in tensors}
        self._by_kind: list[NDArray[np.float32]] = []
        self._masks: dict[Selection, list[FloatMatrix]] = {}
        self._columns: Rows | slice = slice(None)

    @property
    def n_columns(self) -> int:
        """How many rows the graph sees."""
        return self._rows if isinstance(self._columns, slice) else len(self._columns)

    def show(self, columns: Rows | None) -> None:
        """The graph sees only these rows from now on; all with None."""
        self._columns = slice(None) if columns is None else columns
        self._masks.clear()

    def set_scale(self, tensor: str, rows: Rows, scale: float) -> None:
        """The owner of ``rows`` has ``scale`` in ``tensor``. Kinds are to be found again."""
        self._scales[tensor][rows] = scale

    def clear(self, rows: Rows) -> None:
        """Nobody owns ``rows`` any more. Kinds are to be found again."""
        for scales in self._scales.values():
            scales[rows] = 0

    def find_kinds(self) -> Mapping[str, int]:
        """The kind of each tensor."""
        self._masks.clear()
        found: dict[bytes, int] = {}
        kinds = {name: found.setdefault(scales.tobytes(), len(found)) for name, scales in self._scales.items()}
        self._by_kind = [np.frombuffer(scales, np.float32) for scales in found]
        return kinds

    def of(self, selections: Sequence[Selection], counts: Sequence[int]) -> list[FloatMatrix]:
        """By kind, f32 [sum(counts), n_columns]: the mask of ``selections[i]``, ``counts[i]`` times."""
        single = [self._mask(selection) for selection in selections]
        if len(counts) == 1 and counts[0] == 1:  # one conversation, one token: the usual step has nothing to build
            return single[0]
        return [np.repeat(np.concatenate(kind), counts, axis=0) for kind in zip(*single, strict=True)]

    def _mask(self, selection: Selection) -> list[FloatMatrix]:
        """By kind of tensor, f32 [1, n_columns]: the effective scales of ``selection``."""
        mask = self._masks.get(selection)
        if mask is None:
            if len(self._masks) >= KEPT_MASKS:
                self._masks.clear()
            user = np.zeros((1, self._rows), np.float32)
            for member in selection.members:
                user[0, self._rows_of(member.adapter)] = member.scale
            mask = self._masks[selection] = [(user * scales)[:, self._columns].copy() for scales in self._by_kind]
        return mask
