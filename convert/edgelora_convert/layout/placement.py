"""Where an update goes: pieces of it, each in rows of one base tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora_convert.update import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edgelora.gguf.header import TensorInfo
    from edgelora_convert.layout.resolve import Located
    from edgelora_convert.layout.rules import Index, Part
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

    @property
    def shape(self) -> tuple[int, int]:
        """[n_out, n_in] of what it changes, in the base's layout."""
        n_out = self.update.b.shape[0] if self.rows is None else len(self.rows)
        n_in = self.update.a.shape[1] if self.columns is None else len(self.columns)
        return (n_in, n_out) if self.transposed else (n_out, n_in)


def placed(update: Update, located: Located) -> list[Piece]:
    """The pieces of an update. Raises ValueError where its shape or its place in a stack is not the base's."""
    stack = located.expert if update.expert is None else update.expert
    return [piece for part in located.parts for piece in _of_part(update, part, located, stack)]


def _of_part(update: Update, part: Part, located: Located, stack: int | None) -> Iterator[Piece]:
    """One piece, or one for each matrix of a stack."""
    slot = located.storage.slot(part.tensor)
    n_out, n_in = update.b.shape[0], update.a.shape[1]
    try:
        rows = part.rows(located.storage.dims, n_out) if part.rows else None
        columns = part.columns(located.storage.dims, n_in) if part.columns else None
    except ValueError:
        # a shape that is wrong anyway is said in the words of shapes
        _check(Piece(update, slot.tensor, slot.first, stack=stack), slot.n_rows)
        raise
    matrices = [(stack, rows)] if rows is None or rows.ndim == 1 else list(enumerate(rows))
    for number, chosen in matrices:
        piece = Piece(update, slot.tensor, slot.first, chosen, columns, number, part.transposed)
        _check(piece, slot.n_rows)
        yield piece


def _check(piece: Piece, n_rows: int) -> None:
    """GGUF shapes put the row length first: a weight [n_out, n_in] is [n_in, n_out] there."""
    tensor = piece.tensor
    is_embedding = piece.update.kind is Kind.EMBEDDING
    if (piece.stack is None) != (len(tensor.shape) == 2):
        raise ValueError(f"{tensor.name} of the base is {_described(tensor)}, the adapter's {_meant(piece)}")
    if piece.stack is not None and piece.stack >= tensor.shape[2]:
        raise ValueError(f"it is number {piece.stack}, {tensor.name} of the base has only {tensor.shape[2]}")
    n_out, n_in = (tensor.shape[0], n_rows) if is_embedding else (n_rows, tensor.shape[0])
    if piece.shape != (n_out, n_in):
        what = "vocabulary and width" if is_embedding else "inputs and outputs"
        raise ValueError(
            f"it was trained for {piece.shape[1]} and {piece.shape[0]} {what}, {tensor.name} of the base has "
            f"{n_in} and {n_out}"
        )


def _described(tensor: TensorInfo) -> str:
    return f"a stack of {tensor.shape[2]}" if len(tensor.shape) == 3 else f"no matrix but {list(tensor.shape)}"


def _meant(piece: Piece) -> str:
    return "a plain matrix" if piece.stack is None else "one of a stack"
