"""Gemma 4, with its embeddings for every layer and wider heads where it attends to everything."""

from __future__ import annotations

import numpy as np

from support.exports import GELU, OUTSIDE, SIZES, Pair, decoder_config, decoder_metadata
from support.families.dense import GEMMA_NORMS, QK_NORMS

WIDE_HEAD = 32
PER_LAYER = 16
# the unrotated pairs of a head are rotated ever so slowly: conversion/gemma.py, Gemma4Model.generate_extra_tensors
ROPE_FACTORS = np.array([1.0] * (WIDE_HEAD // 8) + [1e30] * (3 * WIDE_HEAD // 8), np.float32)

PAIRS = (
    Pair(
        "gemma4",
        "gemma4_text",
        decoder_config(
            global_head_dim=WIDE_HEAD,
            hidden_size_per_layer_input=PER_LAYER,
            vocab_size_per_layer_input=48,
            sliding_window=64,
            layer_types=["sliding_attention", "full_attention"],
            rope_parameters={
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
            },
        ),
        decoder_metadata(
            attention__sliding_window=64,
            attention__sliding_window_pattern=[True, False],
            attention__shared_kv_layers=0,
            attention__key_length=WIDE_HEAD,
            attention__value_length=WIDE_HEAD,
            attention__key_length_swa=SIZES.head_dim,
            attention__value_length_swa=SIZES.head_dim,
            embedding_length_per_layer_input=PER_LAYER,
            rope__dimension_count=WIDE_HEAD,
            rope__dimension_count_swa=SIZES.head_dim,
            rope__freq_base=1e6,
            rope__freq_base_swa=10000.0,
        ),
        {
            "per_layer_input_gate": "inp_gate",
            "per_layer_projection": "proj",
            "post_per_layer_input_norm": "post_norm",
            "layer_scalar": "layer_output_scale.weight",
            **GEMMA_NORMS,
            **QK_NORMS,
        },
        {
            "model.embed_tokens_per_layer": "per_layer_token_embd",
            "model.per_layer_model_projection": "per_layer_model_proj",
            "model.per_layer_projection_norm": "per_layer_proj_norm",
            **OUTSIDE,
        },
        extra={"rope_freqs.weight": ROPE_FACTORS},
        # llama.cpp does not look at adapters of per_layer_model_projection
        modules=(
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "down_proj",
            "per_layer_input_gate",
            "per_layer_projection",
        ),
        tolerance=5 * GELU,  # two of them a layer, and the embeddings of a layer make more of the difference
    ),
)
