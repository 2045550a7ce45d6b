"""How single weights go from Transformers into a GGUF, named so that a table of them reads like the sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from support.rearrangements import (
    Dims,
    grouped_qkv,
    latent_kv,
    linear_qkvz,
    parts,
    rope_halves_to_pairs,
    rope_pairs_to_halves,
    value_heads_tiled,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Layout = Callable[[Dims, np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Weight:
    """One weight of Transformers: its shape in the words of :class:`Dims`, and where llama.cpp puts it.

    The shape is [n_out, n_in] for a Linear, [n_in, n_out] for a Conv1D (``conv1d``: PEFT sets fan_in_fan_out and adds
    (B·A) transposed) and [experts, n_out, n_in] for a stack of experts, to each of which PEFT adds B·A. Where the stack
    multiplies from the right the shape is [experts, n_in, n_out]; PEFT adds (B·A) transposed if the module says so
    (``is_transposed``), otherwise B·A as ever, with A over n_out and B over n_in.
    """

    axes: tuple[str, ...]
    layout: Layout
    conv1d: bool = False
    is_transposed: bool = False

    def __call__(self, dims: Dims, values: np.ndarray) -> dict[str, np.ndarray]:
        return self.layout(dims, values)

    def shape(self, dims: Dims) -> tuple[int, ...]:
        return tuple(getattr(dims, axis) for axis in self.axes)


@dataclass(frozen=True)
class Family:
    """The weights of one layer by module path behind ``prefix`` (which holds ``{}`` for the layer)."""

    weights: dict[str, Weight]
    prefix: str = "model.layers.{}."
    dims: Dims = field(default_factory=Dims)


def to(name: str) -> Layout:
    """As it is."""
    return lambda dims, w: {name: w}


def turned(name: str) -> Layout:
    """Transposed on the last two axes (Conv1D, experts that multiply from the right)."""
    return lambda dims, w: {name: w.swapaxes(-1, -2) if w.ndim > 1 else w}


def rotated(name: str, heads: str) -> Layout:
    """Rope order of the llama architecture."""
    return lambda dims, w: {name: rope_halves_to_pairs(w, getattr(dims, heads))}


def halves(first: str, second: str, axis: int = 0) -> Layout:
    """Two tensors, one after the other along the axis."""
    return lambda dims, w: dict(zip((first, second), np.split(w, 2, axis=axis), strict=True))


def turned_halves(first: str, second: str) -> Layout:
    """[experts, n_in, 2·n_ff] to two [experts, n_ff, n_in]."""
    return lambda dims, w: dict(zip((first, second), np.split(w.swapaxes(-1, -2), 2, axis=-2), strict=True))


def turned_alternating(dims: Dims, w: np.ndarray) -> dict[str, np.ndarray]:
    """[experts, n_in, 2·n_ff] whose gate and up take turns: conversion/gpt_oss.py."""
    rows = w.swapaxes(-1, -2)
    return {"ffn_gate_exps": rows[:, 0::2], "ffn_up_exps": rows[:, 1::2]}


def fused_qkv(dims: Dims, w: np.ndarray) -> dict[str, np.ndarray]:
    """[q | k | v] to three tensors."""
    return dict(zip(("attn_q", "attn_k", "attn_v"), parts(w, [dims.q, dims.kv, dims.kv]), strict=True))


def fused_rotated_qkv(dims: Dims, w: np.ndarray) -> dict[str, np.ndarray]:
    """[q | k | v] to three tensors in the rope order of llama: conversion/bailingmoe.py, conversion/baichuan.py."""
    q, k, v = parts(w, [dims.q, dims.kv, dims.kv])
    return {
        "attn_q": rope_halves_to_pairs(q, dims.heads),
        "attn_k": rope_halves_to_pairs(k, dims.kv_heads),
        "attn_v": v,
    }


def grouped_rotated_qkv(dims: Dims, w: np.ndarray) -> dict[str, np.ndarray]:
    """Groups of (queries, key, value), in the rope order of llama: conversion/internlm.py."""
    return fused_rotated_qkv(dims, np.concatenate(grouped_qkv(w, dims.kv_heads, dims.heads)))


def grouped_to_fused(dims: Dims, w: np.ndarray) -> dict[str, np.ndarray]:
    """Groups of (queries, key, value) to [q | k | v]: conversion/falcon.py."""
    return {"attn_qkv": np.concatenate(grouped_qkv(w, dims.kv_heads, dims.heads))}


def neox_rows(name: str, heads: str) -> Layout:
    """M-RoPE of GLM-4V and GLM-OCR."""
    return lambda dims, w: {name: rope_pairs_to_halves(w, getattr(dims, heads), dims.rotary)}


def value_rows(name: str, size: str) -> Layout:
    """Rows of value heads, reordered."""
    return lambda dims, w: {name: value_heads_tiled(w, dims.key_heads, dims.value_heads, getattr(dims, size))}


def value_columns(name: str) -> Layout:
    """Columns of value heads, reordered."""
    return lambda dims, w: {name: value_heads_tiled(w, dims.key_heads, dims.value_heads, dims.value_dim, axis=1)}


def linear_qkv_rows(dims: Dims, w: np.ndarray) -> dict[str, np.ndarray]:
    """[q | k | v] of linear attention with the value rows reordered: conversion/qwen.py."""
    qk, v = parts(w, [2 * dims.key_heads * dims.key_dim, dims.linear_v])
    return {"attn_qkv": np.concatenate([qk, value_heads_tiled(v, dims.key_heads, dims.value_heads, dims.value_dim)])}


def linear_qkvz_rows(dims: Dims, w: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(("attn_qkv", "attn_gate"), linear_qkvz(w, dims), strict=True))


def latent_kv_rows(dims: Dims, w: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(("attn_k_b", "attn_v_b"), latent_kv(w, dims), strict=True))


def stacked_rows(name: str, *, turn: bool = False) -> Layout:
    """[experts · n_ff, hidden] to a stack (dbrx keeps all three so; w2 is turned): conversion/dbrx.py."""

    def layout(dims: Dims, w: np.ndarray) -> dict[str, np.ndarray]:
        stack = w.reshape(dims.experts, dims.expert_ff, -1)
        return {name: stack.swapaxes(1, 2) if turn else stack}

    return layout


def attention(q: Layout, k: Layout, *, path: str = "self_attn.", out: str = "o_proj") -> dict[str, Weight]:
    return {
        f"{path}q_proj": Weight(("q", "hidden"), q),
        f"{path}k_proj": Weight(("kv", "hidden"), k),
        f"{path}v_proj": Weight(("kv", "hidden"), to("attn_v")),
        f"{path}{out}": Weight(("hidden", "q"), to("attn_output")),
    }


def gated(gate: str, up: str, down: str, size: str = "ff", suffix: str = "") -> dict[str, Weight]:
    """A gated feed-forward block by its module paths; the suffix is that of the tensors (_shexp)."""
    return {
        gate: Weight((size, "hidden"), to(f"ffn_gate{suffix}")),
        up: Weight((size, "hidden"), to(f"ffn_up{suffix}")),
        down: Weight(("hidden", size), to(f"ffn_down{suffix}")),
    }


def plain_mlp(up: str, down: str) -> dict[str, Weight]:
    return {up: Weight(("ff", "hidden"), to("ffn_up")), down: Weight(("hidden", "ff"), to("ffn_down"))}


def router(path: str) -> dict[str, Weight]:
    return {path: Weight(("experts", "hidden"), to("ffn_gate_inp"))}


def fused_attention(path: str, qkv: str, out: str, layout: Layout) -> dict[str, Weight]:
    return {path + qkv: Weight(("qkv", "hidden"), layout), path + out: Weight(("hidden", "q"), to("attn_output"))}


def packed_experts(path: str) -> dict[str, Weight]:
    """gate_up_proj [experts, 2·n_ff, hidden] and down_proj [experts, hidden, n_ff], as Transformers 5 keeps them."""
    return {
        f"{path}gate_up_proj": Weight(
            ("experts", "two_expert_ff", "hidden"), halves("ffn_gate_exps", "ffn_up_exps", axis=1)
        ),
        f"{path}down_proj": Weight(("experts", "hidden", "expert_ff"), to("ffn_down_exps")),
    }


def turned_experts(path: str, gate_up: Layout, *, is_transposed: bool = True) -> dict[str, Weight]:
    """gate_up_proj [experts, hidden, 2·n_ff] and down_proj [experts, n_ff, hidden]."""
    return {
        f"{path}gate_up_proj": Weight(("experts", "hidden", "two_expert_ff"), gate_up, is_transposed=is_transposed),
        f"{path}down_proj": Weight(
            ("experts", "expert_ff", "hidden"), turned("ffn_down_exps"), is_transposed=is_transposed
        ),
    }


def single_expert(path: str, gate: str, up: str, down: str) -> dict[str, Weight]:
    """One expert (``{}`` in the path is its number) as older versions kept it: one 2-D weight each."""
    return {
        f"{path}.{gate}": Weight(("expert_ff", "hidden"), to("ffn_gate_exps")),
        f"{path}.{up}": Weight(("expert_ff", "hidden"), to("ffn_up_exps")),
        f"{path}.{down}": Weight(("hidden", "expert_ff"), to("ffn_down_exps")),
    }


def conv1d(shape: tuple[str, str], name: str) -> Weight:
    return Weight(shape, turned(name), conv1d=True)


def mamba(path: str) -> dict[str, Weight]:
    return {
        f"{path}in_proj": Weight(("two_inner", "hidden"), to("ssm_in")),
        f"{path}x_proj": Weight(("step_and_states", "inner"), to("ssm_x")),
        f"{path}dt_proj": Weight(("inner", "step_rank"), to("ssm_dt")),
        f"{path}out_proj": Weight(("hidden", "inner"), to("ssm_out")),
    }


def mamba2(path: str) -> dict[str, Weight]:
    return {
        f"{path}in_proj": Weight(("mamba2_in", "hidden"), to("ssm_in")),
        f"{path}out_proj": Weight(("hidden", "inner"), to("ssm_out")),
    }


def shared_mlp(suffix: str) -> dict[str, Weight]:
    return {
        "shared_mlp.input_linear": Weight(("two_shared_ff", "hidden"), halves(f"ffn_gate{suffix}", f"ffn_up{suffix}")),
        "shared_mlp.output_linear": Weight(("hidden", "shared_ff"), to(f"ffn_down{suffix}")),
    }


def linear_attention(*, reordered: bool) -> dict[str, Weight]:
    """Of Qwen3.5; value heads move only where there are more of them than key heads."""
    path = "linear_attn."
    return {
        f"{path}in_proj_qkv": Weight(("linear_qkv", "hidden"), linear_qkv_rows if reordered else to("attn_qkv")),
        f"{path}in_proj_z": Weight(
            ("linear_v", "hidden"), value_rows("attn_gate", "value_dim") if reordered else to("attn_gate")
        ),
        f"{path}in_proj_a": Weight(
            ("value_heads", "hidden"), value_rows("ssm_alpha", "one") if reordered else to("ssm_alpha")
        ),
        f"{path}in_proj_b": Weight(
            ("value_heads", "hidden"), value_rows("ssm_beta", "one") if reordered else to("ssm_beta")
        ),
        f"{path}out_proj": Weight(("hidden", "linear_v"), value_columns("ssm_out") if reordered else to("ssm_out")),
    }
