"""Mixtures of experts after DeepSeek: dense layers first, a shared expert, and a router that balances with a bias."""

from __future__ import annotations

import dataclasses

from support.exports import NORMS, SIZES, SIZES_MULTI_HEAD, Pair, decoder_config, decoder_metadata
from support.families.dense import QK_NORMS
from support.families.experts import BOTH, CONFIG, METADATA, NO_EXPERT_FF, QWEN_CONFIG, QWEN_METADATA
from support.families.layer_norms import rope
from support.families.recurrent import LFM2

ONE_SHARED = dataclasses.replace(SIZES, shared_ff=SIZES.expert_ff)
DOTS = dataclasses.replace(SIZES_MULTI_HEAD, experts=4, expert_ff=32, shared_ff=32)
LATENT = dataclasses.replace(
    SIZES, query_latent=24, latent=16, nope=16, rope=8, mla_value=12, shared_ff=SIZES.expert_ff
)
SIGMOID = 2  # of expert_gating_func
BIAS = "exp_probs_b.bias"
DEEPSEEK_CONFIG = {
    "n_routed_experts": SIZES.experts,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.5,
}
DEEPSEEK_METADATA = {
    "expert_shared_count": 1,
    "leading_dense_block_count": 1,
    "expert_weights_scale": 1.5,
    **QWEN_METADATA,
}
NORMED = {"expert_gating_func": SIGMOID, "expert_weights_norm": True}

PAIRS = (
    Pair(
        "glm4moe/packed",
        "glm4_moe",
        decoder_config(
            norm_topk_prob=True,
            use_qk_norm=True,
            **{**DEEPSEEK_CONFIG, **QWEN_CONFIG, "rope_parameters": rope(0.5)},
        ),
        decoder_metadata(
            rope__dimension_count=8,
            **NORMED,
            **DEEPSEEK_METADATA,
        ),
        {
            "input_layernorm": "attn_norm",
            "post_attention_layernorm": "post_attention_norm",
            "mlp.gate.e_score_correction_bias": BIAS,
            **QK_NORMS,
        },
        dims=ONE_SHARED,
        parameters=BOTH,
    ),
    Pair(
        "minimax-m2/packed",
        "minimax_m2",
        decoder_config(**{**CONFIG, "rope_parameters": rope(0.5)}),
        decoder_metadata(
            rope__dimension_count=8, expert_feed_forward_length=SIZES.ff, expert_gating_func=SIGMOID, **METADATA
        ),
        NORMS | QK_NORMS | {"mlp.e_score_correction_bias": BIAS},
        dims=NO_EXPERT_FF,
        parameters=BOTH,
    ),
    Pair(
        "deepseek2/packed",
        "deepseek_v2",
        decoder_config(
            q_lora_rank=LATENT.query_latent,
            kv_lora_rank=LATENT.latent,
            qk_nope_head_dim=LATENT.nope,
            qk_rope_head_dim=LATENT.rope,
            v_head_dim=LATENT.mla_value,
            topk_method="greedy",
            norm_topk_prob=False,
            **{**DEEPSEEK_CONFIG, **QWEN_CONFIG, "head_dim": LATENT.rope, "num_key_value_heads": SIZES.heads},
        ),
        decoder_metadata(
            attention__head_count_kv=1,
            attention__q_lora_rank=LATENT.query_latent,
            attention__kv_lora_rank=LATENT.latent,
            attention__key_length=LATENT.latent + LATENT.rope,
            attention__value_length=LATENT.latent,
            attention__key_length_mla=LATENT.nope + LATENT.rope,
            attention__value_length_mla=LATENT.mla_value,
            rope__dimension_count=LATENT.rope,
            **DEEPSEEK_METADATA,
        ),
        NORMS | {"self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.kv_a_layernorm": "attn_kv_a_norm"},
        dims=LATENT,
        # llama.cpp does not look at adapters of the other projections of this attention
        modules=("o_proj",),
        parameters=(*BOTH, "gate.weight"),
        tolerance=1e-4,
    ),
    Pair(
        "dots1/packed",
        "dots1",
        decoder_config(DOTS, norm_topk_prob=True, sliding_window=None, **DEEPSEEK_CONFIG, **QWEN_CONFIG),
        decoder_metadata(DOTS, **NORMED, **DEEPSEEK_METADATA),
        NORMS | QK_NORMS | {"mlp.gate.e_score_correction_bias": BIAS},
        dims=DOTS,
        parameters=BOTH,
    ),
    Pair(
        "exaone-moe/packed",
        "exaone_moe",
        decoder_config(
            num_shared_experts=1,
            norm_topk_prob=True,
            n_group=1,
            topk_group=1,
            first_k_dense_replace=1,
            routed_scaling_factor=1.5,
            sliding_window=64,
            layer_types=["sliding_attention", "full_attention"],
            **QWEN_CONFIG,
        ),
        decoder_metadata(
            attention__sliding_window=64,
            attention__sliding_window_pattern=[True, False],
            expert_shared_feed_forward_length=SIZES.expert_ff,
            **NORMED,
            **DEEPSEEK_METADATA,
        ),
        NORMS | QK_NORMS | {"mlp.gate.e_score_correction_bias": BIAS},
        dims=ONE_SHARED,
        parameters=BOTH,
    ),
    Pair(
        "ernie4_5-moe/packed",
        "ernie4_5_moe",
        decoder_config(
            moe_k=2,
            moe_num_experts=SIZES.experts,
            moe_num_shared_experts=1,
            moe_intermediate_size=SIZES.expert_ff,
            moe_layer_start_index=1,
        ),
        decoder_metadata(
            expert_shared_count=1,
            expert_shared_feed_forward_length=SIZES.expert_ff,
            interleave_moe_layer_step=1,
            leading_dense_block_count=1,
            **QWEN_METADATA,
        ),
        NORMS | {"mlp.gate.moe_statics.e_score_correction_bias": lambda w: {BIAS: w[0]}},
        dims=ONE_SHARED,
        parameters=BOTH,
    ),
    Pair(
        "afmoe/packed",
        "afmoe",
        decoder_config(
            num_shared_experts=1,
            num_dense_layers=1,
            route_scale=1.5,
            num_hidden_layers=4,  # the fourth attends to everything, without rope
            sliding_window=64,
            mup_enabled=True,
            **QWEN_CONFIG,
        ),
        decoder_metadata(
            block_count=4,
            attention__sliding_window=64,
            **NORMED,
            **DEEPSEEK_METADATA,
        ),
        {
            "input_layernorm": "attn_norm",
            "post_attention_layernorm": "post_attention_norm",
            "pre_mlp_layernorm": "ffn_norm",
            "post_mlp_layernorm": "post_ffw_norm",
            "mlp.expert_bias": BIAS,
            **QK_NORMS,
        },
        dims=ONE_SHARED,
        parameters=BOTH,
    ),
    Pair(
        "lfm2moe/packed",
        "lfm2_moe",
        decoder_config(
            layer_types=["conv", "full_attention"],
            num_dense_layers=1,
            norm_eps=1e-5,
            norm_topk_prob=True,
            use_expert_bias=True,
            **QWEN_CONFIG,
        ),
        decoder_metadata(
            attention__head_count_kv=[0, SIZES.kv_heads],
            shortconv__l_cache=3,
            leading_dense_block_count=1,
            expert_gating_func=SIGMOID,
            **QWEN_METADATA,
        ),
        LFM2.others | {"feed_forward.expert_bias": BIAS},
        LFM2.outside,
        changes=LFM2.changes,
        parameters=BOTH,
    ),
)
