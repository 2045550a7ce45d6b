"""Decoders whose norms have a mean, or none at all, most of them without a gate or with parallel blocks."""

from __future__ import annotations

from support.exports import GELU, OUTSIDE, SIZES, Pair, decoder_config, decoder_metadata
from support.families.dense import TIED, one_more

PARALLEL = {"input_layernorm": "attn_norm"}  # attention and feed-forward share one norm
EPSILON = {"attention__layer_norm_epsilon": 1e-5}


def rope(part: float) -> dict[str, object]:
    """Rope on the given part of each head."""
    return {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": part}


PAIRS = (
    Pair("olmo", "olmo", metadata=decoder_metadata(**EPSILON)),
    Pair(
        "stablelm",
        "stablelm",
        decoder_config(use_qkv_bias=True, layer_norm_eps=1e-5, rope_parameters=rope(0.25)),
        decoder_metadata(rope__dimension_count=4, **EPSILON),
    ),
    Pair(
        "starcoder2",
        "starcoder2",
        decoder_config(use_bias=True, norm_epsilon=1e-5, sliding_window=None),
        decoder_metadata(**EPSILON),
        tolerance=GELU,
    ),
    Pair(
        "phi2",
        "phi",
        decoder_config(layer_norm_eps=1e-5, rope_parameters=rope(0.5)),
        decoder_metadata(rope__dimension_count=8, **EPSILON),
        PARALLEL,
        OUTSIDE | {"model.final_layernorm": "output_norm"},
        tolerance=GELU,
    ),
    Pair(
        "command-r",
        "cohere",
        decoder_config(layer_norm_eps=1e-5, logit_scale=0.5, tie_word_embeddings=True),
        decoder_metadata(logit_scale=0.5, **EPSILON),
        PARALLEL,
        ignored=TIED,
    ),
    Pair(
        "cohere2",
        "cohere2",
        decoder_config(
            layer_norm_eps=1e-5,
            logit_scale=0.5,
            tie_word_embeddings=True,
            sliding_window=64,
            layer_types=["sliding_attention", "full_attention"],
        ),
        decoder_metadata(
            logit_scale=0.5,
            attention__sliding_window=64,
            attention__sliding_window_pattern=[True, False],
            **EPSILON,
        ),
        PARALLEL,
        ignored=TIED,
    ),
    Pair(
        "nemotron",
        "nemotron",
        decoder_config(norm_eps=1e-5, rope_parameters=rope(0.5)),
        decoder_metadata(rope__dimension_count=SIZES.head_dim // 2, **EPSILON),
        changes={"norm.weight": one_more},
    ),
)
