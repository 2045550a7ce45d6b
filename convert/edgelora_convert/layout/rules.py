"""How the rows and columns of a trained weight are taken apart and ordered, as functions that give index vectors.

Every layout change W' = T(W) that llama.cpp's converters make is a choice of rows and columns, sometimes after a
transposition. A product B·A follows it exactly: B' = B[rows], A' = A[:, columns].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgelora_convert.layout.dims import BlockDims

Index = NDArray[np.intp]

IndexRule = Callable[["BlockDims", int], Index]
"""Chooses among n rows (or columns): an index vector, or for a stack of matrices one row of it for each matrix.

Raises ValueError where the sizes of the base do not explain n.
"""


@dataclass(frozen=True)
class Part:
    """What a trained weight gives to one tensor, such as ``attn_q``: the chosen rows and columns, all where None.

    ``transposed``: the chosen matrix is stored the other way round.
    """

    tensor: str
    rows: IndexRule | None = None
    columns: IndexRule | None = None
    transposed: bool = False


@dataclass(frozen=True)
class Refused:
    """A weight whose change cannot be expressed, and why."""

    reason: str


Rule = tuple[Part, ...] | Refused
"""All parts of a trained weight."""


def explained(n: int, expected: int, what: str) -> None:
    """Raise ValueError unless the sizes of the base give ``n``."""
    if n != expected:
        raise ValueError(f"{what} do not explain its {n} rows, but {expected}")


def within(outer: IndexRule, inner: IndexRule) -> IndexRule:
    """``inner`` orders what ``outer`` chose."""

    def rule(dims: BlockDims, n: int) -> Index:
        chosen = outer(dims, n)
        return chosen[inner(dims, len(chosen))]

    return rule


def half(which: int) -> IndexRule:
    """The first or the second half."""

    def rule(_: BlockDims, n: int) -> Index:
        explained(n % 2, 0, "two halves")
        return np.arange(n // 2) + which * (n // 2)

    return rule


def every_second(first: int) -> IndexRule:
    """Rows ``first``, ``first + 2``, and so on."""

    def rule(_: BlockDims, n: int) -> Index:
        explained(n % 2, 0, "pairs")
        return np.arange(first, n, 2)

    return rule


def expert_rows(dims: BlockDims, n: int) -> Index:
    """[n_expert, rows]: the experts of a matrix that holds them one below the other (DBRX)."""
    if not dims.n_expert or n % dims.n_expert:
        raise ValueError(f"{dims.n_expert} experts do not explain its {n} rows")
    return np.arange(n).reshape(dims.n_expert, -1)


def vocabulary(dims: BlockDims, n: int) -> Index:
    """The tokens that the base has; a trained embedding may be padded beyond them."""
    if n < dims.n_vocab:
        raise ValueError(f"it has {n} tokens, the base {dims.n_vocab}")
    return np.arange(dims.n_vocab)
