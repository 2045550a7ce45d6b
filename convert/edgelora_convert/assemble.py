"""Puts everything that goes to one base tensor into one pair of factors.

Updates with different A cannot share rank rows, so they are stacked on rank: A = [A1; A2], B = [B1, B2], each B filled
with zeros in the rows that its update does not touch. That expresses q, k and v trained apart for a base that fuses
them, experts that were left out, and several adapters in one, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.update import Kind, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from edgelora.gguf.header import TensorInfo
    from edgelora_convert.layout.placement import Piece

    Values = NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """One base tensor and all pieces that go there."""

    tensor: TensorInfo
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """The name of the base tensor."""
        return self.tensor.name

    @property
    def updates(self) -> list[Update]:
        """Every update that has a piece here, once."""
        return list({id(piece.update): piece.update for piece in self.pieces}.values())

    @property
    def is_embedding(self) -> bool:
        """Whether the tensor is looked up by token."""
        return self.pieces[0].update.kind is Kind.EMBEDDING

    @cached_property
    def rank(self) -> int:
        """Rank rows that the pieces need: of a stack, those of its fullest matrix."""
        return max(sum(update_rank(group) for group in groups) for groups in self.by_matrix().values())

    def by_matrix(self) -> dict[int | None, list[list[Piece]]]:
        """The pieces of each matrix of a stack (None: the tensor is one), grouped by what can share rank rows."""
        matrices: dict[int | None, dict[tuple[int, bool], list[Piece]]] = {}
        for piece in self.pieces:
            groups = matrices.setdefault(piece.stack, {})
            groups.setdefault((id(piece.update), piece.transposed), []).append(piece)
        return {stack: list(groups.values()) for stack, groups in matrices.items()}


def update_rank(group: list[Piece]) -> int:
    """The rank of the update that a group of pieces belongs to."""
    return group[0].update.rank


def targets_of(pieces: Iterable[Piece]) -> list[Target]:
    """Targets in the order of their data in the base."""
    grouped: dict[str, list[Piece]] = {}
    for piece in pieces:
        grouped.setdefault(piece.tensor.name, []).append(piece)
    targets = [Target(found[0].tensor, tuple(found)) for found in grouped.values()]
    return sorted(targets, key=lambda target: target.tensor.offset)


def assembled(target: Target, load: Callable[[Update], tuple[Values, Values]]) -> tuple[Values, Values]:
    """A [rank, n_in] and B [n_out, rank] in the base's layout; with a leading axis of matrices for a stack.

    ``load`` gives the factors of an update, with everything that is to be folded into them.
    """
    n_in, n_out = target.tensor.shape[:2]
    if target.is_embedding:
        n_in, n_out = n_out, n_in
    matrices = target.by_matrix()
    if list(matrices) == [None] and len(matrices[None]) == 1:
        whole = _whole(matrices[None][0], n_out, load)
        if whole is not None:
            return whole
    rank = target.rank
    n_stack = target.tensor.shape[2] if None not in matrices else 1
    a, b = np.zeros((n_stack, rank, n_in), np.float32), np.zeros((n_stack, n_out, rank), np.float32)
    for stack, groups in matrices.items():
        _fill(a[stack or 0], b[stack or 0], groups, load)
    return (a[0], b[0]) if None in matrices else (a, b)


def _whole(
    group: list[Piece], n_out: int, load: Callable[[Update], tuple[Values, Values]]
) -> tuple[Values, Values] | None:
    """The factors of a single piece that fills the tensor: nothing to copy."""
    if len(group) > 1:
        return None
    a, b = group[0].factors(*load(group[0].update))
    return (np.ascontiguousarray(a), np.ascontiguousarray(b)) if len(b) == n_out else None


def _fill(a: Values, b: Values, groups: list[list[Piece]], load: Callable[[Update], tuple[Values, Values]]) -> None:
    start = 0
    for group in groups:
        end = start + update_rank(group)
        loaded = load(group[0].update)
        for piece in group:
            piece_a, piece_b = piece.factors(*loaded)
            a[start:end] = piece_a
            b[piece.first : piece.first + len(piece_b), start:end] = piece_b
        start = end
