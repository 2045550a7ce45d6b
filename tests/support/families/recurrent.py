"""Decoders some of whose layers are not attention: gated delta nets and short convolutions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from support.exports import OUTSIDE, SIZES, Pair, decoder_config, decoder_metadata
from support.families.dense import QK_NORMS, one_more
from support.families.experts import BOTH, QWEN_CONFIG, QWEN_METADATA
from support.families.layer_norms import rope
from support.rearrangements import value_heads_tiled

if TYPE_CHECKING:
    from support.exports import Change

LINEAR = dataclasses.replace(SIZES, key_heads=2, value_heads=4, key_dim=16, value_dim=16)
LINEAR_CONFIG = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": LINEAR.key_heads,
    "linear_num_value_heads": LINEAR.value_heads,
    "linear_key_head_dim": LINEAR.key_dim,
    "linear_value_head_dim": LINEAR.value_dim,
    "linear_conv_kernel_dim": 4,
}
LINEAR_METADATA = {
    "ssm__conv_kernel": 4,
    "ssm__state_size": LINEAR.key_dim,
    "ssm__group_count": LINEAR.key_heads,
    "ssm__time_step_rank": LINEAR.value_heads,
    "ssm__inner_size": LINEAR.linear_v,
    "attention__recurrent_layers": [True, False],
}
LINEAR_OTHERS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "linear_attn.dt_bias": "ssm_dt.bias",
    "linear_attn.A_log": "ssm_a",
    "linear_attn.conv1d": "ssm_conv1d",
    "linear_attn.norm": "ssm_norm",
    **QK_NORMS,
}


def decay(values: np.ndarray) -> np.ndarray:
    return -np.exp(values)


def squeezed(values: np.ndarray) -> np.ndarray:
    """A convolution of one channel each, without the axis for that: [channels, kernel]."""
    return values.squeeze(1)


def tiled(values: np.ndarray, size: int = 1) -> np.ndarray:
    return value_heads_tiled(values, LINEAR.key_heads, LINEAR.value_heads, size)


def tiled_convolution(values: np.ndarray) -> np.ndarray:
    """The channels of q, k and v, those of v reordered: conversion/qwen.py, _LinearAttentionVReorderBase."""
    keys = 2 * LINEAR.key_heads * LINEAR.key_dim
    kernel = squeezed(values)
    return np.concatenate([kernel[:keys], tiled(kernel[keys:], LINEAR.value_dim)])


def same(values: np.ndarray) -> np.ndarray:
    return values


SHIFT: dict[str, Change] = {"linear_attn.norm.weight": same, "norm.weight": one_more}
QWEN35_CHANGES = SHIFT | {"A_log": lambda w: tiled(decay(w)), "dt_bias": tiled, "conv1d.weight": tiled_convolution}
QWEN35_ROPE = rope(0.5) | {"mrope_section": [2, 1, 1]}

LFM2 = Pair(
    "lfm2",
    "lfm2",
    decoder_config(
        layer_types=["conv", "full_attention"], block_ff_dim=SIZES.ff, block_auto_adjust_ff_dim=False, norm_eps=1e-5
    ),
    decoder_metadata(attention__head_count_kv=[0, SIZES.kv_heads], shortconv__l_cache=3),
    {
        "operator_norm": "attn_norm",
        "ffn_norm": "ffn_norm",
        "conv.conv": "shortconv.conv",
        "self_attn.q_layernorm": "attn_q_norm",
        "self_attn.k_layernorm": "attn_k_norm",
    },
    OUTSIDE | {"model.embedding_norm": "token_embd_norm"},
    changes={"conv.conv.weight": squeezed},
)

PAIRS = (
    Pair(
        "qwen3next",
        "qwen3_next",
        decoder_config(
            shared_expert_intermediate_size=SIZES.shared_ff,
            norm_topk_prob=True,
            **{**QWEN_CONFIG, **LINEAR_CONFIG, "rope_parameters": rope(0.25)},
        ),
        decoder_metadata(
            expert_shared_feed_forward_length=SIZES.shared_ff,
            rope__dimension_count=4,
            **QWEN_METADATA,
            **LINEAR_METADATA,
        ),
        LINEAR_OTHERS,
        changes=SHIFT | {"A_log": decay, "conv1d.weight": squeezed},
        dims=LINEAR,
        parameters=BOTH,
        tolerance=1e-4,
    ),
    Pair(
        "qwen35",
        "qwen3_5_text",
        decoder_config(**{**LINEAR_CONFIG, "rope_parameters": QWEN35_ROPE}),
        decoder_metadata(rope__dimension_count=8, rope__dimension_sections=[2, 1, 1, 0], **LINEAR_METADATA),
        LINEAR_OTHERS,
        changes=QWEN35_CHANGES,
        dims=LINEAR,
        tolerance=1e-4,
    ),
    Pair(
        "qwen35moe",
        "qwen3_5_moe_text",
        decoder_config(
            shared_expert_intermediate_size=SIZES.shared_ff,
            **{**QWEN_CONFIG, **LINEAR_CONFIG, "rope_parameters": QWEN35_ROPE},
        ),
        decoder_metadata(
            expert_shared_feed_forward_length=SIZES.shared_ff,
            rope__dimension_count=8,
            rope__dimension_sections=[2, 1, 1, 0],
            **QWEN_METADATA,
            **LINEAR_METADATA,
        ),
        LINEAR_OTHERS,
        changes=QWEN35_CHANGES,
        dims=LINEAR,
        tolerance=1e-4,
        parameters=BOTH,
    ),
    LFM2,
)
