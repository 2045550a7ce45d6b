"""Where an update goes: pieces of it, each in rows of one base tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgelora.gguf.header import TensorInfo
    from edgelora_convert.layout.rules import Index
    from edgelora_convert.update import Update

    Values = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """Some rows and columns of one update, and where they go: rows ``first``, ... of ``tensor``.

    ``stack`` is the matrix in a stack of experts or heads, None in a plain matrix. ``transposed``: A and B change
    roles, because the base stores the matrix the other way round.
    """

    update: Update
    tensor: TensorInfo
    first: int = 0
    rows: Index | None = None
    columns: Index | None = None
    stack: int | None = None
    transposed: bool = False

    def factors(self, a: Values, b: Values) -> tuple[Values, Values]:
        """What ``a`` [rank, n_in] and ``b`` [n_out, rank] of the update become in the base's layout."""
        chosen_a = a if self.columns is None else a[:, self.columns]
        chosen_b = b if self.rows is None else b[self.rows]
        return (chosen_b.T, chosen_a.T) if self.transposed else (chosen_a, chosen_b)
