"""Decoders that keep q, k and v (and some gate and up) in one weight, in the order of each its own."""

from __future__ import annotations

import dataclasses

from support.exports import (
    CONTEXT,
    GELU,
    LAYERS,
    NORMS,
    SIZES,
    SIZES_MULTI_HEAD,
    VOCAB,
    Pair,
    decoder_config,
    decoder_metadata,
)
from support.families.dense import TIED
from support.families.layer_norms import rope

WIDE_MLP = dataclasses.replace(SIZES, ff=256)  # four times the hidden size, where the architecture fixes it
MULTI_HEAD = dataclasses.replace(SIZES_MULTI_HEAD, ff=256)
ONE_KEY = dataclasses.replace(WIDE_MLP, kv_heads=1)
EPSILON = {"attention__layer_norm_epsilon": 1e-5}
TRANSFORMER = {"transformer.word_embeddings": "token_embd", "transformer.ln_f": "output_norm", "lm_head": "output"}
GPT2_OUTSIDE = {"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm"}
GPT2_NORMS = {"ln_1": "attn_norm", "ln_2": "ffn_norm"}
GPT2_CONFIG = {"n_embd": 64, "n_layer": LAYERS, "n_head": 4, "n_positions": CONTEXT, "vocab_size": VOCAB}
FALCON = {
    "hidden_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "vocab_size": VOCAB,
    "alibi": False,
    "bias": False,
    "parallel_attn": True,
    "tie_word_embeddings": False,
}


PAIRS = (
    Pair(
        "phi3",
        "phi3",
        decoder_config(original_max_position_embeddings=CONTEXT, sliding_window=None),
        decoder_metadata(rope__scaling__original_context_length=CONTEXT),
    ),
    Pair(
        "gptneox",
        "gpt_neox",
        decoder_config(MULTI_HEAD, rope_parameters=rope(0.25), layer_norm_eps=1e-5),
        decoder_metadata(MULTI_HEAD, rope__dimension_count=4, use_parallel_residual=True, **EPSILON),
        outside={
            "gpt_neox.embed_in": "token_embd",
            "gpt_neox.final_layer_norm": "output_norm",
            "lm_head": "output",
            "embed_out": "output",
        },
        dims=MULTI_HEAD,
        tolerance=GELU,
    ),
    Pair(
        "gpt2",
        "gpt2",
        GPT2_CONFIG,
        decoder_metadata(MULTI_HEAD, **EPSILON),
        GPT2_NORMS,
        GPT2_OUTSIDE,
        dims=MULTI_HEAD,
        ignored=TIED,
        tolerance=GELU,
    ),
    Pair(
        "starcoder",
        "gpt_bigcode",
        GPT2_CONFIG,
        decoder_metadata(ONE_KEY, **EPSILON),
        GPT2_NORMS,
        GPT2_OUTSIDE,
        dims=ONE_KEY,
        ignored=TIED,
        tolerance=GELU,
    ),
    Pair(
        "falcon",
        "falcon",
        FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2},
        decoder_metadata(WIDE_MLP, **EPSILON),
        {"ln_attn": "attn_norm_2", "ln_mlp": "attn_norm"},
        TRANSFORMER,
        dims=WIDE_MLP,
        tolerance=GELU,
    ),
    Pair(
        "falcon",
        "falcon",
        FALCON | {"multi_query": True},
        decoder_metadata(ONE_KEY, **EPSILON),
        {"input_layernorm": "attn_norm"},
        TRANSFORMER,
        dims=ONE_KEY,
        tolerance=GELU,
        label="falcon (one key head)",
    ),
    Pair(
        "bloom",
        "bloom",
        {"hidden_size": 64, "n_layer": LAYERS, "n_head": 4, "vocab_size": VOCAB, "tie_word_embeddings": False},
        decoder_metadata(MULTI_HEAD, **EPSILON),
        NORMS,
        TRANSFORMER | {"transformer.word_embeddings_layernorm": "token_embd_norm"},
        dims=MULTI_HEAD,
        tolerance=GELU,
    ),
    Pair(
        "mpt",
        "mpt",
        {
            "d_model": 64,
            "n_heads": 4,
            "n_layers": LAYERS,
            "vocab_size": VOCAB,
            "max_seq_len": CONTEXT,
            "tie_word_embeddings": True,
        },
        decoder_metadata(MULTI_HEAD, attention__max_alibi_bias=8.0, **EPSILON),
        {"norm_1": "attn_norm", "norm_2": "ffn_norm"},
        {"transformer.wte": "token_embd", "transformer.norm_f": "output_norm"},
        dims=MULTI_HEAD,
        ignored=TIED,
        tolerance=GELU,
    ),
    Pair(
        "glm4",
        "glm4",
        decoder_config(attention_bias=True, rope_parameters=rope(0.5)),
        decoder_metadata(rope__dimension_count=8),
        NORMS | {"post_self_attn_layernorm": "post_attention_norm", "post_mlp_layernorm": "post_ffw_norm"},
    ),
    Pair(
        "chatglm/glm",
        "glm",
        decoder_config(attention_bias=True, rope_parameters=rope(0.5)),
        decoder_metadata(rope__dimension_count=8),
    ),
)
