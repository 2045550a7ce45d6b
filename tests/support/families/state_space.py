"""Decoders with state space layers.

PEFT refuses to adapt their out_proj and their convolution, and Transformers reads the weight of dt_proj itself, so that
an adapter of it does nothing there.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from support.exports import OUTSIDE, SIZES, Pair, decoder_config, decoder_metadata
from support.families.dense import GRANITE, GRANITE_METADATA
from support.families.experts import BOTH, METADATA
from support.families.recurrent import decay, squeezed

if TYPE_CHECKING:
    import numpy as np

MAMBA = dataclasses.replace(SIZES, inner=128, state=16, step_rank=4, state_heads=8, state_groups=2, expert_ff=SIZES.ff)
STATE = {
    "ssm__conv_kernel": 4,
    "ssm__inner_size": MAMBA.inner,
    "ssm__state_size": MAMBA.state,
}
STATE1 = {**STATE, "ssm__time_step_rank": MAMBA.step_rank}
STATE2 = {**STATE, "ssm__time_step_rank": MAMBA.state_heads, "ssm__group_count": MAMBA.state_groups}
NO_ATTENTION = {"feed_forward_length": 0, "attention.head_count": 0}
CHANGES = {"A_log": decay, "conv1d.weight": squeezed}


def column(values: np.ndarray) -> np.ndarray:
    return values[:, None]


def grouped(values: np.ndarray) -> np.ndarray:
    """The norm over each group: conversion/mamba.py, Mamba2Model."""
    return values.reshape(MAMBA.state_groups, -1)


CHANGES2 = {
    "A_log": lambda w: column(decay(w)),
    ".D": column,
    "conv1d.weight": squeezed,
    "mixer.norm.weight": grouped,
    "mamba.norm.weight": grouped,
}


def state_names(path: str) -> dict[str, str]:
    return {
        f"{path}.A_log": "ssm_a",
        f"{path}.D": "ssm_d",
        f"{path}.conv1d": "ssm_conv1d",
        f"{path}.dt_bias": "ssm_dt.bias",
        f"{path}.norm": "ssm_norm",
        f"{path}.dt_layernorm": "ssm_dt_norm",
        f"{path}.b_layernorm": "ssm_b_norm",
        f"{path}.c_layernorm": "ssm_c_norm",
    }


def state_config(**more: Any) -> dict[str, Any]:
    """Without what these configurations call otherwise."""
    left_out = ("intermediate_size", "head_dim", "rope_parameters", "num_attention_heads", "num_key_value_heads")
    return {name: value for name, value in decoder_config().items() if name not in left_out} | more


BACKBONE = {"backbone.embeddings": "token_embd", "backbone.norm_f": "output_norm", "lm_head": "output"}

PAIRS = (
    Pair(
        "mamba",
        "mamba",
        state_config(state_size=MAMBA.state, time_step_rank=MAMBA.step_rank, layer_norm_epsilon=1e-5),
        decoder_metadata(**STATE1) | NO_ATTENTION,
        {"norm": "attn_norm", **state_names("mixer")},
        BACKBONE,
        changes=CHANGES,
        dims=MAMBA,
        modules=("in_proj", "x_proj"),
        tolerance=1e-4,
    ),
    Pair(
        "mamba2",
        "mamba2",
        state_config(
            state_size=MAMBA.state,
            num_heads=MAMBA.state_heads,
            head_dim=MAMBA.inner // MAMBA.state_heads,
            n_groups=MAMBA.state_groups,
            layer_norm_epsilon=1e-5,
        ),
        decoder_metadata(**STATE2) | NO_ATTENTION,
        {"norm": "attn_norm", **state_names("mixer")},
        BACKBONE,
        changes=CHANGES2,
        dims=MAMBA,
        modules=("in_proj",),
        tolerance=1e-4,
    ),
    Pair(
        "jamba/packed",
        "jamba",
        decoder_config(
            num_experts=MAMBA.experts,
            num_experts_per_tok=2,
            attn_layer_period=2,
            attn_layer_offset=1,
            mamba_d_state=MAMBA.state,
            mamba_dt_rank=MAMBA.step_rank,
            use_mamba_kernels=False,
        ),
        decoder_metadata(attention__head_count_kv=[0, SIZES.kv_heads], **STATE1, **METADATA),
        {"input_layernorm": "attn_norm", "pre_ff_layernorm": "ffn_norm", **state_names("mamba")},
        OUTSIDE | {"model.final_layernorm": "output_norm"},
        changes=CHANGES,
        dims=MAMBA,
        modules=("q_proj", "k_proj", "v_proj", "o_proj", "in_proj", "x_proj", "down_proj"),
        parameters=BOTH,
        tolerance=1e-4,
    ),
    Pair(
        "granitehybrid/packed",
        "granitemoehybrid",
        decoder_config(
            layer_types=["mamba", "attention"],
            num_local_experts=MAMBA.experts,
            num_experts_per_tok=2,
            shared_intermediate_size=MAMBA.shared_ff,
            mamba_n_heads=MAMBA.state_heads,
            mamba_d_head=MAMBA.inner // MAMBA.state_heads,
            mamba_d_state=MAMBA.state,
            mamba_n_groups=MAMBA.state_groups,
            mamba_expand=2,
            **GRANITE,
        ),
        decoder_metadata(
            attention__head_count_kv=[0, SIZES.kv_heads],
            expert_shared_feed_forward_length=MAMBA.shared_ff,
            rope__scaling__finetuned=False,
            **STATE2,
            **METADATA,
            **GRANITE_METADATA,
        ),
        {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", **state_names("mamba")},
        changes=CHANGES2,
        dims=MAMBA,
        modules=("q_proj", "k_proj", "v_proj", "o_proj", "in_proj", "input_linear", "output_linear"),
        parameters=BOTH,
        tolerance=1e-4,
    ),
    Pair(
        "nemotron_h/5",
        "nemotron_h",
        decoder_config(
            num_hidden_layers=3,
            layers_block_type=["mamba", "attention", "mlp"],
            ssm_state_size=MAMBA.state,
            mamba_num_heads=MAMBA.state_heads,
            mamba_head_dim=MAMBA.inner // MAMBA.state_heads,
            n_groups=MAMBA.state_groups,
            use_mamba_kernels=False,
            layer_norm_epsilon=1e-5,
        ),
        decoder_metadata(
            block_count=3,
            attention__layer_norm_epsilon=1e-5,
            feed_forward_length=[0, 0, SIZES.ff],
            attention__head_count_kv=[0, SIZES.kv_heads, 0],
            **STATE2,
        ),
        {"norm": "attn_norm", **state_names("mixer")},
        {"model.embeddings": "token_embd", "model.norm_f": "output_norm", "lm_head": "output"},
        changes=CHANGES2,
        dims=MAMBA,
        modules=("q_proj", "k_proj", "v_proj", "o_proj", "in_proj", "up_proj", "down_proj"),
        tolerance=1e-3,
    ),
)
