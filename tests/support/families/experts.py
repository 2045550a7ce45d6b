"""Mixtures of experts, whose weights Transformers 5 keeps in two 3-D parameters a layer."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from support.exports import NORMS, SIZES, SIZES_MULTI_HEAD, Pair, decoder_config, decoder_metadata
from support.families.dense import GRANITE, GRANITE_METADATA, QK_NORMS

if TYPE_CHECKING:
    import numpy as np

BOTH = ("experts.gate_up_proj", "experts.down_proj")
NO_EXPERT_FF = dataclasses.replace(SIZES, expert_ff=SIZES.ff)  # where an expert is as wide as the model says
OLMOE = dataclasses.replace(SIZES_MULTI_HEAD, expert_ff=SIZES.ff)
CONFIG = {"num_local_experts": SIZES.experts, "num_experts_per_tok": 2}
METADATA = {"expert_count": SIZES.experts, "expert_used_count": 2}
QWEN_CONFIG = {"num_experts": SIZES.experts, "num_experts_per_tok": 2, "moe_intermediate_size": SIZES.expert_ff}
QWEN_METADATA = {**METADATA, "expert_feed_forward_length": SIZES.expert_ff}


def alternating_bias(values: np.ndarray) -> dict[str, np.ndarray]:
    """[experts, 2·n_ff] whose gate and up take turns: conversion/gpt_oss.py."""
    return {"ffn_gate_exps.bias": values[:, 0::2], "ffn_up_exps.bias": values[:, 1::2]}


PAIRS = (
    Pair(
        "llama/mixtral-packed",
        "mixtral",
        decoder_config(sliding_window=None, **CONFIG),
        decoder_metadata(**METADATA),
        dims=NO_EXPERT_FF,
        parameters=BOTH,
        label="mixtral",
    ),
    Pair(
        "qwen2moe/packed",
        "qwen2_moe",
        decoder_config(shared_expert_intermediate_size=SIZES.shared_ff, norm_topk_prob=False, **QWEN_CONFIG),
        decoder_metadata(expert_shared_feed_forward_length=SIZES.shared_ff, **QWEN_METADATA),
        parameters=BOTH,
    ),
    Pair(
        "qwen3moe/packed",
        "qwen3_moe",
        decoder_config(norm_topk_prob=True, **QWEN_CONFIG),
        decoder_metadata(**QWEN_METADATA),
        NORMS | QK_NORMS,
        parameters=BOTH,
    ),
    Pair(
        "olmoe/packed",
        "olmoe",
        decoder_config(SIZES_MULTI_HEAD, num_experts=SIZES.experts, num_experts_per_tok=2, norm_topk_prob=False),
        decoder_metadata(SIZES_MULTI_HEAD, **METADATA),
        NORMS | QK_NORMS,
        dims=OLMOE,
        parameters=BOTH,
    ),
    Pair(
        "granitemoe/packed",
        "granitemoeshared",
        decoder_config(shared_intermediate_size=SIZES.shared_ff, **GRANITE, **CONFIG),
        decoder_metadata(expert_shared_feed_forward_length=SIZES.shared_ff, **GRANITE_METADATA, **METADATA),
        dims=NO_EXPERT_FF,
        parameters=BOTH,
    ),
    Pair(
        "gpt-oss",
        "gpt_oss",
        decoder_config(sliding_window=64, layer_types=["sliding_attention", "full_attention"], **CONFIG),
        decoder_metadata(attention__sliding_window=64, expert_feed_forward_length=SIZES.ff, **METADATA),
        {
            "input_layernorm": "attn_norm",
            "post_attention_layernorm": "post_attention_norm",
            "self_attn.sinks": "attn_sinks.weight",
            "mlp.experts.gate_up_proj_bias": alternating_bias,
            "mlp.experts.down_proj_bias": "ffn_down_exps.bias",
        },
        dims=NO_EXPERT_FF,
        parameters=BOTH,
    ),
    Pair(
        "llama4",
        "llama4_text",
        decoder_config(num_hidden_layers=4, **CONFIG),  # the fourth has no rope; llama.cpp aborts without such a one
        decoder_metadata(block_count=4, interleave_moe_layer_step=1, expert_feed_forward_length=SIZES.ff, **METADATA),
        dims=dataclasses.replace(NO_EXPERT_FF, shared_ff=SIZES.ff),
        # PEFT cannot run the router, a Linear that returns two tensors
        modules=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        parameters=BOTH,
    ),
    Pair(
        "hunyuan-moe/packed",
        "hunyuan_v1_moe",
        decoder_config(num_experts=SIZES.experts, moe_topk=2),
        decoder_metadata(expert_feed_forward_length=SIZES.ff, expert_shared_feed_forward_length=SIZES.ff, **METADATA),
        NORMS | {"self_attn.query_layernorm": "attn_q_norm", "self_attn.key_layernorm": "attn_k_norm"},
        dims=dataclasses.replace(NO_EXPERT_FF, shared_ff=SIZES.ff),
        parameters=BOTH,
    ),
)
