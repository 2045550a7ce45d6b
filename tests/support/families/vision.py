"""Models that also see, whose decoder is one of several parts; only adapters of the decoder are representable."""

from __future__ import annotations

from typing import Any

from support.exports import GELU, NORMS, Pair, decoder_config, decoder_metadata
from support.families.dense import GEMMA_NORMS, GEMMA_SHIFT, QK_NORMS
from support.families.dense import PAIRS as DENSE

GEMMA3 = next(pair for pair in DENSE if pair.layout == "gemma3")
TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
BLOCKS = {"depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64}
SECTIONS = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [3, 3, 2]}
NO_EPSILON = {"rms_norm_eps": 1e-12}  # llama.cpp does not read it for qwen2vl
SECTIONS_METADATA = decoder_metadata(rope__dimension_sections=[3, 3, 2, 0])
DECODER = r".*language_model.*_proj"
LOADER = "AutoModelForImageTextToText"


def both(text: dict[str, Any], vision: dict[str, Any]) -> dict[str, Any]:
    return {"text_config": text, "vision_config": vision, "tie_word_embeddings": False}


PAIRS = (
    Pair(
        "gemma3",
        "gemma3",
        both(GEMMA3.config, {**TOWER, "image_size": 28, "patch_size": 14}),
        GEMMA3.metadata,
        GEMMA_NORMS | QK_NORMS,
        changes=GEMMA_SHIFT,
        loader=LOADER,
        modules=DECODER,
        tolerance=GELU,
        label="gemma3 (with vision)",
    ),
    Pair(
        "mistral3",
        "mistral3",
        both(
            decoder_config(model_type="mistral", sliding_window=None),
            {**TOWER, "model_type": "pixtral", "image_size": 28, "patch_size": 14},
        ),
        loader=LOADER,
        modules=DECODER,
    ),
    Pair(
        "qwen2vl",
        "qwen2_vl",
        both(
            decoder_config(rope_parameters=SECTIONS, **NO_EPSILON),
            {"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2},
        ),
        SECTIONS_METADATA,
        loader=LOADER,
        modules=DECODER,
    ),
    Pair(
        "qwen2vl",
        "qwen2_5_vl",
        both(decoder_config(rope_parameters=SECTIONS, **NO_EPSILON), BLOCKS),
        SECTIONS_METADATA,
        loader=LOADER,
        modules=DECODER,
        label="qwen2vl (2.5)",
    ),
    Pair(
        "qwen3vl",
        "qwen3_vl",
        both(decoder_config(rope_parameters=SECTIONS), {**BLOCKS, "deepstack_visual_indexes": []}),
        SECTIONS_METADATA | {"n_deepstack_layers": 0},
        NORMS | QK_NORMS,
        loader=LOADER,
        modules=DECODER,
    ),
)
