"""How the layout of a weight in Transformers differs from that in a GGUF, as data, for each architecture.

Every layout change of a weight W' = T(W) that llama.cpp's converters make for these architectures is a choice of
rows and columns, W' = W[rows][:, columns]. A product B·A follows it exactly: B' = B[rows], A' = A[:, columns].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]


@dataclass(frozen=True)
class BlockDims:
    """Sizes of one block of the base: heads, key/value heads, and values in a head."""

    n_head: int
    n_kv: int
    head_dim: int


IndexRule = Callable[[BlockDims, int], Index]
"""Gives the order of n rows or columns; raises ValueError where the sizes of the base contradict each other."""


@dataclass(frozen=True)
class Layout:
    """Which rows and columns of the Transformers weight make the GGUF weight; None leaves them alone."""

    rows: IndexRule | None = None
    columns: IndexRule | None = None


def apply_layout(
    layout: Layout, dims: BlockDims, a: NDArray[np.float32], b: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A' and B' for which B'·A' is the GGUF layout of B·A. Shapes: A [rank, n_in], B [n_out, rank].

    Raises ValueError where the sizes of the base contradict each other.
    """
    if layout.rows is not None:
        b = b[layout.rows(dims, b.shape[0])]
    if layout.columns is not None:
        a = a[:, layout.columns(dims, a.shape[1])]
    return a, b


def interleaved_halves(n_rows: int, n_heads: int, head_dim: int) -> Index:
    """Row order that puts the rotary pairs of each head side by side: 0, h/2, 1, h/2 + 1, ...

    Transformers keeps the two halves of a head apart; llama.cpp rotates neighbours (``LlamaModel.permute`` in its
    converter).
    """
    if n_rows != n_heads * head_dim or head_dim % 2:
        raise ValueError(f"{n_heads} heads of {head_dim} values do not explain its {n_rows} rows")
    return np.arange(n_rows).reshape(n_heads, 2, head_dim // 2).swapaxes(1, 2).ravel()


SAME = Layout()
_ROTARY_QUERY = Layout(rows=lambda dims, n: interleaved_halves(n, dims.n_head, dims.head_dim))
_ROTARY_KEY = Layout(rows=lambda dims, n: interleaved_halves(n, dims.n_kv, dims.head_dim))

ARCHITECTURES: Mapping[str, Mapping[str, Layout]] = {
    "llama": {"attn_q": _ROTARY_QUERY, "attn_k": _ROTARY_KEY},
    "qwen2": {},
}
"""By GGUF architecture and short tensor name; tensors that are not listed keep their layout."""
