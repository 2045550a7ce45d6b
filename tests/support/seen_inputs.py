"""What the demo base multiplies its matrices with: the forward pass in numpy, with matrices that take notes."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from support.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def seen_inputs(sequences: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """The inputs of every matrix, f64 [tokens, n_in], by its name in the GGUF."""
    sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "demo")]  # no part of the package
    from demo.layout import BASE_SOURCE
    from demo.source import read_source
    from numpy_llama import logits

    source, seen = read_source(BASE_SOURCE), dict[str, list[np.ndarray]]()
    tensors: dict[str, Any] = {
        name: _Watched(values, seen.setdefault(name, [])) if values.ndim == 2 else values
        for name, values in source.tensors.items()
    }
    for sequence in sequences:
        logits(replace(source, tensors=tensors), list(sequence))
    return {_gguf_name(name): np.concatenate(inputs) for name, inputs in seen.items()}


class _Watched:
    """A matrix that notes what it is multiplied with."""

    __array_ufunc__ = None  # so that numpy leaves x @ matrix to us

    def __init__(self, values: np.ndarray, seen: list[np.ndarray]) -> None:
        self.values, self.seen = values.astype(np.float64), seen
        self.T = self

    def astype(self, dtype: type) -> _Watched:
        return self

    def __getitem__(self, rows: list[int]) -> np.ndarray:
        return self.values[rows]

    def __rmatmul__(self, inputs: np.ndarray) -> np.ndarray:
        self.seen.append(inputs)
        return inputs @ self.values.T


def _gguf_name(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    parts = name.split(".")
    return f"blk.{parts[2]}.{_NAMES[parts[-2]]}.weight"
