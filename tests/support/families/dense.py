"""Dense decoders with RMS norms whose q, k, v, gate and up are weights of their own, as in Llama."""

from __future__ import annotations

import dataclasses

import numpy as np

from support.exports import GELU, NORMS, SIZES, SIZES_MULTI_HEAD, Pair, decoder_config, decoder_metadata

TIED = ("lm_head.weight",)  # the same tensor as the embedding
QK_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
POST_NORMS = {"post_attention_layernorm": "post_attention_norm", "post_feedforward_layernorm": "post_ffw_norm"}
GEMMA_NORMS = {"input_layernorm": "attn_norm", **POST_NORMS, "pre_feedforward_layernorm": "ffn_norm"}
WIDE_HEADS = dataclasses.replace(SIZES, head_dim=24)


def one_more(values: np.ndarray) -> np.ndarray:
    """Norms that Transformers keeps as w for 1 + w (conversion/gemma.py)."""
    return values + 1


GEMMA_SHIFT = {"norm.weight": one_more}
GRANITE = {"embedding_multiplier": 3.0, "logits_scaling": 2.0, "residual_multiplier": 0.5, "attention_multiplier": 0.2}
GRANITE_METADATA = {"embedding_scale": 3.0, "logit_scale": 2.0, "residual_scale": 0.5, "attention__scale": 0.2}

PAIRS = (
    Pair("llama", "llama", decoder_config(attention_bias=True, mlp_bias=True)),
    Pair(
        "llama",
        "mistral",
        decoder_config(WIDE_HEADS, sliding_window=None),
        decoder_metadata(WIDE_HEADS),
        dims=WIDE_HEADS,
        label="mistral",
    ),
    Pair("llama", "internlm3", label="internlm3"),
    Pair("qwen2", "qwen2"),
    Pair("qwen3", "qwen3", decoder_config(WIDE_HEADS), decoder_metadata(WIDE_HEADS), NORMS | QK_NORMS, dims=WIDE_HEADS),
    Pair("gemma", "gemma", decoder_config(tie_word_embeddings=True), changes=GEMMA_SHIFT, ignored=TIED, tolerance=GELU),
    Pair(
        "gemma2",
        "gemma2",
        decoder_config(tie_word_embeddings=True, query_pre_attn_scalar=SIZES.head_dim, sliding_window=64),
        decoder_metadata(attention__sliding_window=64, attn_logit_softcapping=50.0, final_logit_softcapping=30.0),
        GEMMA_NORMS,
        changes=GEMMA_SHIFT,
        ignored=TIED,
        tolerance=GELU,
    ),
    Pair(
        "gemma3",
        "gemma3_text",
        decoder_config(
            query_pre_attn_scalar=SIZES.head_dim,
            sliding_window=64,
            layer_types=["sliding_attention", "full_attention"],
            rope_parameters={
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
            },
        ),
        decoder_metadata(
            attention__sliding_window=64,
            attention__sliding_window_pattern=[True, False],
            rope__freq_base=1000000.0,
            rope__freq_base_swa=10000.0,
        ),
        GEMMA_NORMS | QK_NORMS,
        changes=GEMMA_SHIFT,
        tolerance=GELU,
    ),
    Pair("smollm3", "smollm3"),
    Pair("granite", "granite", decoder_config(**GRANITE), decoder_metadata(**GRANITE_METADATA)),
    Pair(
        "olmo2",
        "olmo2",
        decoder_config(SIZES_MULTI_HEAD),
        decoder_metadata(SIZES_MULTI_HEAD),
        POST_NORMS | QK_NORMS,
        dims=SIZES_MULTI_HEAD,
    ),
    Pair(
        "exaone4",
        "exaone4",
        decoder_config(sliding_window=None, layer_types=["full_attention"] * 2),  # a window needs 64 layers there
        others=POST_NORMS | QK_NORMS,
    ),
    Pair(
        "seed_oss",
        "seed_oss",
        others={"input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm"},
    ),
    Pair(
        "hunyuan-dense",
        "hunyuan_v1_dense",
        others=NORMS | {"self_attn.query_layernorm": "attn_q_norm", "self_attn.key_layernorm": "attn_k_norm"},
    ),
    Pair("ernie4_5", "ernie4_5"),
    Pair("arcee", "arcee"),
)
