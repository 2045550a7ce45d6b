"""Shapes of the Qwen2.5 models, and which of their tensors are how large and of which type in a Q4_K_M file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPER_BLOCK = 256
"""Rows of K-quants are whole blocks of this many values."""


@dataclass(frozen=True)
class Shape:
    """Sizes as in the models' published configurations."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ff: int
    vocab: int
    tied: bool

    @property
    def kv_width(self) -> int:
        return self.hidden // self.heads * self.kv_heads


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("0.5b", 896, 24, 14, 2, 4864, 151936, tied=True),
        Shape("1.5b", 1536, 28, 12, 2, 8960, 151936, tied=True),
        Shape("3b", 2048, 36, 16, 2, 11008, 151936, tied=True),
        Shape("7b", 3584, 28, 28, 4, 18944, 152064, tied=False),
    )
}


@dataclass(frozen=True)
class TensorPlan:
    """One tensor: numpy shape, ggml type, standard deviation of its random values (0: all ones)."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    deviation: float


def tensor_plans(shape: Shape) -> Iterator[TensorPlan]:
    """Every tensor of a Qwen2.5 model in Q4_K_M. Deviations keep activations and logits of order one."""
    # the matrix that makes the logits has the finer type; logits then have a deviation of about 3
    yield _matrix("token_embd", shape.vocab, shape.hidden, "Q6_K" if shape.tied else "Q4_K", gain=3.0)
    yield _norm("output_norm", shape.hidden)
    if not shape.tied:
        yield _matrix("output", shape.vocab, shape.hidden, "Q6_K", gain=3.0)
    for layer in range(shape.layers):
        yield from _block(shape, layer, f"blk.{layer}.")


def _block(shape: Shape, layer: int, prefix: str) -> Iterator[TensorPlan]:
    finer = "Q6_K" if _gets_more_bits(layer, shape.layers) else "Q4_K"
    yield _norm(f"{prefix}attn_norm", shape.hidden)
    for name, n_out, type_name in (
        ("attn_q", shape.hidden, "Q4_K"),
        ("attn_k", shape.kv_width, "Q4_K"),
        ("attn_v", shape.kv_width, finer),
    ):
        yield _matrix(prefix + name, n_out, shape.hidden, type_name)
        yield TensorPlan(f"{prefix}{name}.bias", (n_out,), "F32", 0.1)
    yield _matrix(f"{prefix}attn_output", shape.hidden, shape.hidden, "Q4_K")
    yield _norm(f"{prefix}ffn_norm", shape.hidden)
    yield _matrix(f"{prefix}ffn_gate", shape.ff, shape.hidden, "Q4_K")
    yield _matrix(f"{prefix}ffn_up", shape.ff, shape.hidden, "Q4_K")
    yield _matrix(f"{prefix}ffn_down", shape.hidden, shape.ff, finer)


def _gets_more_bits(layer: int, n_layers: int) -> bool:
    """Which layers a Q4_K_M file stores in Q6_K (``use_more_bits`` in llama.cpp's quantizer)."""
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2


def _matrix(name: str, n_out: int, n_in: int, type_name: str, gain: float = 1.0) -> TensorPlan:
    if n_in % SUPER_BLOCK:  # what llama.cpp falls back to
        type_name = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}[type_name]
    return TensorPlan(f"{name}.weight", (n_out, n_in), type_name, gain / n_in**0.5)


def _norm(name: str, width: int) -> TensorPlan:
    return TensorPlan(f"{name}.weight", (width,), "F32", 0.0)
