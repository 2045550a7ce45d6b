"""What llama.cpp's converter does to single weights: plain numpy, written from conversion/*.py, independent of ours.

Every function takes the weight as Transformers holds it (or its bias: all work on the first axis alone, unless they
say otherwise) and returns what goes into the GGUF. None of them builds an index vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Dims:
    """Sizes of a decoder; every one differs from the others, so that a mix-up shows."""

    hidden: int = 40
    heads: int = 6
    kv_heads: int = 3
    head_dim: int = 8
    ff: int = 28
    experts: int = 5
    expert_ff: int = 12
    shared_ff: int = 20
    rotary: int = 4  # rotated values of a head
    key_heads: int = 2  # of linear attention, as the next three
    value_heads: int = 6
    key_dim: int = 4
    value_dim: int = 10
    latent: int = 14  # of multi-head latent attention, as the next four
    query_latent: int = 22
    nope: int = 8
    rope: int = 2
    mla_value: int = 6
    inner: int = 36  # of a state space layer, as the next four
    state: int = 4
    step_rank: int = 3
    state_heads: int = 9
    state_groups: int = 3

    @property
    def q(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def two_q(self) -> int:
        return 2 * self.q

    @property
    def two_kv(self) -> int:
        return 2 * self.kv

    @property
    def qkv(self) -> int:
        return self.q + self.two_kv

    @property
    def two_ff(self) -> int:
        return 2 * self.ff

    @property
    def two_expert_ff(self) -> int:
        return 2 * self.expert_ff

    @property
    def two_shared_ff(self) -> int:
        return 2 * self.shared_ff

    @property
    def stacked_ff(self) -> int:
        return self.experts * self.expert_ff

    @property
    def one(self) -> int:
        return 1

    @property
    def three_hidden(self) -> int:
        return 3 * self.hidden

    @property
    def linear_v(self) -> int:
        return self.value_heads * self.value_dim

    @property
    def linear_qkv(self) -> int:
        return 2 * self.key_heads * self.key_dim + self.linear_v

    @property
    def linear_qkvz(self) -> int:
        return self.linear_qkv + self.linear_v

    @property
    def two_value_heads(self) -> int:
        return 2 * self.value_heads

    @property
    def mla_q(self) -> int:
        return self.heads * (self.nope + self.rope)

    @property
    def mla_kv_a(self) -> int:
        return self.latent + self.rope

    @property
    def mla_kv_b(self) -> int:
        return self.heads * (self.nope + self.mla_value)

    @property
    def mla_v(self) -> int:
        return self.heads * self.mla_value

    @property
    def two_inner(self) -> int:
        return 2 * self.inner

    @property
    def mamba2_in(self) -> int:
        return self.two_inner + 2 * self.state_groups * self.state + self.state_heads

    @property
    def step_and_states(self) -> int:
        return self.step_rank + 2 * self.state


def rope_halves_to_pairs(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from halves (x1.., y1..) to pairs (x1, y1, ..): conversion/llama.py, LlamaModel.permute."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def rope_pairs_to_halves(weight: np.ndarray, heads: int, rotary: int) -> np.ndarray:
    """The other way round, on the rotated rows of each head alone: conversion/glm.py, Glm4Model.normal_to_neox."""
    split = weight.reshape(heads, -1, *weight.shape[1:])
    turned, rest = split[:, :rotary], split[:, rotary:]
    return np.concatenate([turned[:, 0::2], turned[:, 1::2], rest], axis=1).reshape(weight.shape)


def parts(weight: np.ndarray, sizes: list[int], axis: int = 0) -> list[np.ndarray]:
    """Consecutive slices of the given sizes."""
    return np.split(weight, np.cumsum(sizes)[:-1], axis=axis)


def grouped_qkv(weight: np.ndarray, kv_heads: int, heads: int) -> list[np.ndarray]:
    """q, k and v of rows in groups of (its queries, a key, a value): conversion/internlm.py, conversion/falcon.py."""
    rest = weight.shape[1:]
    groups = weight.reshape(kv_heads, heads // kv_heads + 2, -1, *rest)
    return [part.reshape(-1, *rest) for part in (groups[:, :-2], groups[:, -2], groups[:, -1])]


def qkv_of_each_head(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows (q, k, v) per head to all q, all k, all v: conversion/bloom.py, conversion/gptneox.py."""
    return weight.reshape(heads, 3, -1, *weight.shape[1:]).swapaxes(0, 1).reshape(weight.shape)


def value_heads_tiled(weight: np.ndarray, key_heads: int, value_heads: int, size: int, axis: int = 0) -> np.ndarray:
    """Value heads from grouped by key head to tiled over them: conversion/qwen.py, _reorder_v_heads."""
    shape = weight.shape
    split = weight.reshape(*shape[:axis], key_heads, value_heads // key_heads, size, *shape[axis + 1 :])
    return split.swapaxes(axis, axis + 1).reshape(shape)


def linear_qkvz(weight: np.ndarray, dims: Dims) -> list[np.ndarray]:
    """(q, k, v, z) per key head to [all q, all k, all v] and all z: conversion/qwen.py, Qwen3NextModel."""
    rest = weight.shape[1:]
    values = dims.value_heads // dims.key_heads * dims.value_dim
    per_head = weight.reshape(dims.key_heads, -1, *rest)
    q, k, v, z = (
        part.reshape(-1, *rest) for part in parts(per_head, [dims.key_dim, dims.key_dim, values, values], axis=1)
    )
    return [np.concatenate([q, k, v]), z]


def latent_kv(weight: np.ndarray, dims: Dims) -> list[np.ndarray]:
    """kv_b_proj to k_b [heads, latent, nope] and v_b [heads, value, latent]: conversion/deepseek.py."""
    k, v = parts(weight.reshape(dims.heads, -1, weight.shape[-1]), [dims.nope, dims.mla_value], axis=1)
    return [k.swapaxes(1, 2), v]


def plamo_query_rows(weight: np.ndarray, kv_heads: int, head_dim: int) -> np.ndarray:
    """Query heads from [repeat, kv head] to [kv head, repeat]: conversion/plamo.py, shuffle_attn_q_weight."""
    return weight.reshape(-1, kv_heads, head_dim, *weight.shape[1:]).swapaxes(0, 1).reshape(weight.shape)


def plamo_output_columns(weight: np.ndarray, kv_heads: int, head_dim: int) -> np.ndarray:
    """The same for the columns of the output: conversion/plamo.py, shuffle_attn_output_weight."""
    return weight.reshape(len(weight), -1, kv_heads, head_dim).swapaxes(1, 2).reshape(weight.shape)
