"""Mixtures of experts, whose weights Transformers 5 keeps in two 3-D parameters a layer."""

from __future__ import annotations

import dataclasses

from support.exports import NORMS, SIZES, SIZES_MULTI_HEAD, Pair, decoder_config, decoder_metadata
from support.families.dense import GRANITE, GRANITE_METADATA, QK_NORMS

BOTH = ("experts.gate_up_proj", "experts.down_proj")
NO_EXPERT_FF = dataclasses.replace(SIZES, expert_ff=SIZES.ff)  # where an expert is as wide as the model says
OLMOE = dataclasses.replace(SIZES_MULTI_HEAD, expert_ff=SIZES.ff)
CONFIG = {"num_local_experts": SIZES.experts, "num_experts_per_tok": 2}
METADATA = {"expert_count": SIZES.experts, "expert_used_count": 2}
QWEN_CONFIG = {"num_experts": SIZES.experts, "num_experts_per_tok": 2, "moe_intermediate_size": SIZES.expert_ff}
QWEN_METADATA = {**METADATA, "expert_feed_forward_length": SIZES.expert_ff}

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
)
