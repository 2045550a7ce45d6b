"""The weights of a layer as Transformers holds them, and as llama.cpp's converter writes them, for every architecture.

``LAYOUTS`` maps the name of a GGUF architecture (with ``/variant`` where one has several kinds of source) to a
:class:`Family`. A :class:`Weight` is callable: ``weight(dims, values)`` gives the tensors of the GGUF by short name
(``attn_q`` for ``blk.N.attn_q.weight``). All is plain numpy, so golden algebra tests need nothing else:
``T(W + s·B·A) == T(W) + B'·A'``.
"""

from __future__ import annotations

from dataclasses import replace

from support.rearrangements import Dims, plamo_output_columns, plamo_query_rows, qkv_of_each_head
from support.weight_kinds import (
    Family,
    Weight,
    attention,
    conv1d,
    fused_attention,
    fused_qkv,
    fused_rotated_qkv,
    gated,
    grouped_rotated_qkv,
    grouped_to_fused,
    halves,
    latent_kv_rows,
    linear_attention,
    linear_qkvz_rows,
    mamba,
    mamba2,
    neox_rows,
    packed_experts,
    plain_mlp,
    rotated,
    router,
    shared_mlp,
    single_expert,
    stacked_rows,
    to,
    turned_alternating,
    turned_experts,
    turned_halves,
)

ROTATED = attention(rotated("attn_q", "heads"), rotated("attn_k", "kv_heads"))
STRAIGHT = attention(to("attn_q"), to("attn_k"))
MLP = gated("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
UNGATED = plain_mlp("mlp.up_proj", "mlp.down_proj")
FUSED_MLP = {
    "mlp.gate_up_proj": Weight(("two_ff", "hidden"), to("ffn_up")),
    "mlp.down_proj": Weight(("hidden", "ff"), to("ffn_down")),
}
EXPERTS = packed_experts("mlp.experts.")
EXPERT = single_expert("mlp.experts.{}", "gate_proj", "up_proj", "down_proj")
MIXTRAL_EXPERT = single_expert("block_sparse_moe.experts.{}", "w1", "w3", "w2")
SHARED_EXPERT = gated(
    "mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj", "mlp.shared_expert.down_proj", "shared_ff", "_shexp"
)
SHARED_EXPERTS = gated(
    "mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj", "mlp.shared_experts.down_proj", "shared_ff", "_shexp"
)
SHARED_GATE = {"mlp.shared_expert_gate": Weight(("one", "hidden"), to("ffn_gate_inp_shexp"))}
SQUARE = Dims(hidden=48)  # as many query rows as hidden values: a wrongly turned weight still has the right shape
MULTI_HEAD = Dims(hidden=48, kv_heads=6)  # and as many key as query heads
GPT2_ATTENTION = {
    "attn.c_attn": conv1d(("hidden", "qkv"), "attn_qkv"),
    "attn.c_proj": conv1d(("q", "hidden"), "attn_output"),
}
GPT2_MLP = {"mlp.c_fc": conv1d(("hidden", "ff"), "ffn_up"), "mlp.c_proj": conv1d(("ff", "hidden"), "ffn_down")}
GPT2 = "transformer.h.{}."
NEOX_MLP = plain_mlp("mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
GRANITE_EXPERTS = {
    "block_sparse_moe.input_linear": Weight(
        ("experts", "two_expert_ff", "hidden"), halves("ffn_gate_exps", "ffn_up_exps", axis=1)
    ),
    "block_sparse_moe.output_linear": Weight(("experts", "hidden", "expert_ff"), to("ffn_down_exps")),
    **router("block_sparse_moe.router.layer"),
}
TURNED_HALVES = turned_halves("ffn_gate_exps", "ffn_up_exps")
LLAMA4_EXPERTS = "feed_forward.experts."
LLAMA4_MLP = router("feed_forward.router") | gated(
    "feed_forward.shared_expert.gate_proj",
    "feed_forward.shared_expert.up_proj",
    "feed_forward.shared_expert.down_proj",
    "shared_ff",
    "_shexp",
)
GATED_QUERY = {"self_attn.q_proj": Weight(("two_q", "hidden"), to("attn_q"))}  # query and gate take turns by head
LFM2 = (
    attention(to("attn_q"), to("attn_k"), out="out_proj")
    | gated("feed_forward.w1", "feed_forward.w3", "feed_forward.w2")
    | {
        "conv.in_proj": Weight(("three_hidden", "hidden"), to("shortconv.in_proj")),
        "conv.out_proj": Weight(("hidden", "hidden"), to("shortconv.out_proj")),
    }
)


ROTATED_DENSE = (
    "llama", "mistral3", "smollm3", "granite", "nanbeige", "minicpm", "olmo", "deci", "chameleon", "llada",
    "llama-embed",
)  # fmt: skip
STRAIGHT_DENSE = (
    "qwen2", "qwen2vl", "qwen3", "qwen3vl", "dream", "seed_oss", "gemma", "gemma2", "gemma3", "gemma4", "olmo2",
    "stablelm", "command-r", "cohere2", "exaone4", "hunyuan-dense", "hunyuan_vl", "orion", "bitnet", "ernie4_5",
    "pangu-embedded", "maincoder", "gemma-embedding", "paddleocr",
)  # fmt: skip
STRAIGHT_EXPERTS = ("qwen3moe", "olmoe", "rnd1", "llada-moe", "mellum")  # per expert and packed

LAYOUTS: dict[str, Family] = {
    **{arch: Family(ROTATED | MLP) for arch in ROTATED_DENSE},
    **{arch: Family(STRAIGHT | MLP) for arch in STRAIGHT_DENSE},
    **{arch: Family(STRAIGHT | EXPERT | router("mlp.gate")) for arch in STRAIGHT_EXPERTS},
    "llama/mixtral": Family(ROTATED | MIXTRAL_EXPERT | router("block_sparse_moe.gate")),
    "arcee": Family(ROTATED | UNGATED),
    "xverse": Family(ROTATED | MLP, dims=MULTI_HEAD),
    "arctic": Family(
        ROTATED
        | MIXTRAL_EXPERT
        | router("block_sparse_moe.gate")
        | gated("residual_mlp.w1", "residual_mlp.w3", "residual_mlp.w2")
    ),
    "deepseek": Family(ROTATED | EXPERT | router("mlp.gate") | SHARED_EXPERTS),
    "granitemoe": Family(ROTATED | GRANITE_EXPERTS | shared_mlp("_shexp")),
    "granitemoe/packed": Family(
        ROTATED | packed_experts("block_sparse_moe.experts.") | router("block_sparse_moe.router") | shared_mlp("_shexp")
    ),
    "granitehybrid": Family(ROTATED | mamba2("mamba.") | shared_mlp("")),
    "granitehybrid/experts": Family(ROTATED | mamba2("mamba.") | GRANITE_EXPERTS | shared_mlp("_shexp")),
    "granite_swa": Family(
        ROTATED
        | {
            "block_sparse_moe.input_linear": Weight(("experts", "two_expert_ff", "hidden"), to("ffn_gate_up_exps")),
            "block_sparse_moe.output_linear": Weight(("experts", "hidden", "expert_ff"), to("ffn_down_exps")),
            "shared_mlp.input_linear": Weight(("two_shared_ff", "hidden"), to("ffn_up_shexp")),
            "shared_mlp.output_linear": Weight(("hidden", "shared_ff"), to("ffn_down_shexp")),
        }
    ),
    # PEFT 0.19 and later adds B·A to experts of llama4 as they lie, for want of is_transposed; older ones turned it
    "llama4": Family(STRAIGHT | LLAMA4_MLP | turned_experts(LLAMA4_EXPERTS, TURNED_HALVES, is_transposed=False)),
    "llama4/older PEFT": Family(STRAIGHT | LLAMA4_MLP | turned_experts(LLAMA4_EXPERTS, TURNED_HALVES)),
    "apertus": Family(STRAIGHT | UNGATED),
    "nemotron": Family(STRAIGHT | UNGATED),
    "starcoder2": Family(STRAIGHT | plain_mlp("mlp.c_fc", "mlp.c_proj")),
    "phi2": Family(attention(to("attn_q"), to("attn_k"), out="dense") | plain_mlp("mlp.fc1", "mlp.fc2")),
    "phi3": Family(fused_attention("self_attn.", "qkv_proj", "o_proj", to("attn_qkv")) | FUSED_MLP),
    "phimoe": Family(STRAIGHT | MIXTRAL_EXPERT | router("block_sparse_moe.gate")),
    "smallthinker": Family(STRAIGHT | single_expert("block_sparse_moe.experts.{}", "gate", "up", "down")),
    "minimax-m2": Family(STRAIGHT | MIXTRAL_EXPERT | router("block_sparse_moe.gate")),
    "qwen2moe": Family(STRAIGHT | EXPERT | router("mlp.gate") | SHARED_EXPERT | SHARED_GATE),
    "qwen3vlmoe": Family(STRAIGHT | turned_experts("mlp.experts.", TURNED_HALVES) | router("mlp.gate")),
    "qwen3vlmoe/packed": Family(STRAIGHT | EXPERTS | router("mlp.gate")),  # Transformers 5
    **{
        arch: Family(STRAIGHT | MLP | EXPERT | router("mlp.gate") | SHARED_EXPERTS)  # the first layers are dense
        for arch in ("dots1", "glm4moe", "ernie4_5-moe", "exaone-moe")
    },
    "afmoe": Family(
        STRAIGHT
        | {"self_attn.gate_proj": Weight(("q", "hidden"), to("attn_gate"))}
        | MLP
        | EXPERT
        | router("mlp.router.gate")
        | SHARED_EXPERTS
    ),
    "hunyuan-moe": Family(
        STRAIGHT
        | EXPERT
        | router("mlp.gate.wg")
        | gated("mlp.shared_mlp.gate_proj", "mlp.shared_mlp.up_proj", "mlp.shared_mlp.down_proj", "shared_ff", "_shexp")
    ),
    "gpt-oss": Family(STRAIGHT | turned_experts("mlp.experts.", turned_alternating) | router("mlp.router")),
    "chatglm": Family(
        fused_attention("self_attention.", "query_key_value", "dense", to("attn_qkv"))
        | {
            "mlp.dense_h_to_4h": Weight(("two_ff", "hidden"), to("ffn_up")),
            "mlp.dense_4h_to_h": Weight(("hidden", "ff"), to("ffn_down")),
        },
        prefix="transformer.encoder.layers.{}.",
    ),
    "chatglm/glm": Family(STRAIGHT | FUSED_MLP),
    "glm4": Family(STRAIGHT | FUSED_MLP),
    # the base has glm4.rope.dimension_sections
    "glm4/mrope": Family(attention(neox_rows("attn_q", "heads"), neox_rows("attn_k", "kv_heads")) | FUSED_MLP),
    "internlm2": Family(
        fused_attention("attention.", "wqkv", "wo", grouped_rotated_qkv)
        | gated("feed_forward.w1", "feed_forward.w3", "feed_forward.w2"),
        dims=SQUARE,
    ),
    "baichuan": Family(fused_attention("self_attn.", "W_pack", "o_proj", fused_rotated_qkv) | MLP, dims=MULTI_HEAD),
    "bailingmoe": Family(
        fused_attention("attention.", "query_key_value", "dense", fused_rotated_qkv)
        | EXPERT
        | router("mlp.gate")
        | SHARED_EXPERTS
    ),
    "bailingmoe2": Family(
        fused_attention("attention.", "query_key_value", "dense", to("attn_qkv"))
        | EXPERT
        | router("mlp.gate")
        | SHARED_EXPERTS
    ),
    "ernie4_5/fused": Family(
        fused_attention("self_attn.", "qkv_proj", "o_proj", fused_qkv)
        | {
            "mlp.up_gate_proj": Weight(("two_ff", "hidden"), halves("ffn_gate", "ffn_up")),
            "mlp.down_proj": Weight(("hidden", "ff"), to("ffn_down")),
        }
    ),
    "falcon": Family(
        fused_attention("self_attention.", "query_key_value", "dense", grouped_to_fused) | NEOX_MLP,
        prefix=GPT2,
        dims=SQUARE,
    ),
    "bloom": Family(
        fused_attention(
            "self_attention.", "query_key_value", "dense", lambda dims, w: {"attn_qkv": qkv_of_each_head(w, dims.heads)}
        )
        | NEOX_MLP,
        prefix=GPT2,
        dims=MULTI_HEAD,
    ),
    "gptneox": Family(
        fused_attention(
            "attention.", "query_key_value", "dense", lambda dims, w: {"attn_qkv": qkv_of_each_head(w, dims.heads)}
        )
        | NEOX_MLP,
        prefix="gpt_neox.layers.{}.",
        dims=MULTI_HEAD,
    ),
    "gpt2": Family(GPT2_ATTENTION | GPT2_MLP, prefix=GPT2, dims=MULTI_HEAD),
    "jais": Family(
        GPT2_ATTENTION | GPT2_MLP | {"mlp.c_fc2": conv1d(("hidden", "ff"), "ffn_gate")}, prefix=GPT2, dims=MULTI_HEAD
    ),
    **{
        arch: Family(
            fused_attention("attn.", "c_attn", "c_proj", to("attn_qkv")) | plain_mlp("mlp.c_fc", "mlp.c_proj"),
            prefix=GPT2,
        )
        for arch in ("codeshell", "starcoder")
    },
    "qwen": Family(
        fused_attention("attn.", "c_attn", "c_proj", to("attn_qkv")) | gated("mlp.w2", "mlp.w1", "mlp.c_proj"),
        prefix=GPT2,
        dims=MULTI_HEAD,
    ),
    "exaone": Family(
        attention(to("attn_q"), to("attn_k"), path="attn.attention.", out="out_proj")
        | gated("mlp.c_fc_0", "mlp.c_fc_1", "mlp.c_proj"),
        prefix=GPT2,
    ),
    "mpt": Family(
        fused_attention("attn.", "Wqkv", "out_proj", to("attn_qkv")) | plain_mlp("ffn.up_proj", "ffn.down_proj"),
        prefix="transformer.blocks.{}.",
        dims=MULTI_HEAD,
    ),
    "dbrx": Family(
        fused_attention("norm_attn_norm.attn.", "Wqkv", "out_proj", to("attn_qkv"))
        | router("ffn.router.layer")
        | {
            "ffn.experts.mlp.w1": Weight(("stacked_ff", "hidden"), stacked_rows("ffn_gate_exps")),
            "ffn.experts.mlp.v1": Weight(("stacked_ff", "hidden"), stacked_rows("ffn_up_exps")),
            "ffn.experts.mlp.w2": Weight(("stacked_ff", "hidden"), stacked_rows("ffn_down_exps", turn=True)),
        },
        prefix="transformer.blocks.{}.",
    ),
    "refact": Family(
        {
            "attn.q": Weight(("q", "hidden"), to("attn_q")),
            "attn.kv": Weight(("two_kv", "hidden"), halves("attn_k", "attn_v")),
            "attn.c_proj": Weight(("hidden", "q"), to("attn_output")),
            "mlp.gate_up_proj": Weight(("two_ff", "hidden"), halves("ffn_gate", "ffn_up")),
            "mlp.c_proj": Weight(("hidden", "ff"), to("ffn_down")),
        },
        prefix=GPT2,
        dims=Dims(hidden=48, kv_heads=1),
    ),
    "openelm": Family(
        fused_attention("attn.", "qkv_proj", "out_proj", to("attn_qkv"))
        | {
            "ffn.proj_1": Weight(("two_ff", "hidden"), halves("ffn_gate", "ffn_up")),
            "ffn.proj_2": Weight(("hidden", "ff"), to("ffn_down")),
        },
        prefix="transformer.layers.{}.",
    ),
    "plamo": Family(
        {
            "self_attn.q_proj": Weight(
                ("q", "hidden"), lambda dims, w: {"attn_q": plamo_query_rows(w, dims.kv_heads, dims.head_dim)}
            ),
            "self_attn.k_proj": STRAIGHT["self_attn.k_proj"],
            "self_attn.v_proj": STRAIGHT["self_attn.v_proj"],
            "self_attn.o_proj": Weight(
                ("hidden", "q"), lambda dims, w: {"attn_output": plamo_output_columns(w, dims.kv_heads, dims.head_dim)}
            ),
            **MLP,
        },
        prefix="model.layers.layers.{}.",
    ),
    "deepseek2": Family(
        {
            "self_attn.q_a_proj": Weight(("query_latent", "hidden"), to("attn_q_a")),
            "self_attn.q_b_proj": Weight(("mla_q", "query_latent"), to("attn_q_b")),
            "self_attn.kv_a_proj_with_mqa": Weight(("mla_kv_a", "hidden"), to("attn_kv_a_mqa")),
            "self_attn.kv_b_proj": Weight(("mla_kv_b", "latent"), latent_kv_rows),
            "self_attn.o_proj": Weight(("hidden", "mla_v"), to("attn_output")),
            **MLP,
            **EXPERT,
            **router("mlp.gate"),
            **SHARED_EXPERTS,
        }
    ),
    "qwen3next": Family(
        STRAIGHT
        | GATED_QUERY
        | EXPERTS
        | router("mlp.gate")
        | SHARED_EXPERT
        | SHARED_GATE
        | {
            "linear_attn.in_proj_qkvz": Weight(("linear_qkvz", "hidden"), linear_qkvz_rows),
            "linear_attn.in_proj_ba": Weight(("two_value_heads", "hidden"), to("ssm_ba")),
            "linear_attn.out_proj": Weight(("hidden", "linear_v"), to("ssm_out")),
        }
    ),
    "qwen35": Family(STRAIGHT | GATED_QUERY | MLP | linear_attention(reordered=True)),
    "qwen35/equal heads": Family(
        STRAIGHT | GATED_QUERY | MLP | linear_attention(reordered=False), dims=Dims(key_heads=6)
    ),
    "qwen35moe": Family(
        STRAIGHT
        | GATED_QUERY
        | EXPERTS
        | router("mlp.gate")
        | SHARED_EXPERT
        | SHARED_GATE
        | linear_attention(reordered=True)
    ),
    "lfm2": Family(LFM2),
    "lfm2moe": Family(LFM2 | single_expert("feed_forward.experts.{}", "w1", "w3", "w2") | router("feed_forward.gate")),
    "mamba": Family(mamba("mixer."), prefix="backbone.layers.{}."),
    "mamba2": Family(mamba2("mixer."), prefix="backbone.layers.{}."),
    "jamba": Family(
        STRAIGHT
        | mamba("mamba.")
        | gated("feed_forward.gate_proj", "feed_forward.up_proj", "feed_forward.down_proj")
        | single_expert("feed_forward.experts.{}", "gate_proj", "up_proj", "down_proj")
        | router("feed_forward.router")
    ),
    "nemotron_h": Family(
        attention(rotated("attn_q", "heads"), rotated("attn_k", "kv_heads"), path="mixer.")
        | mamba2("mixer.")
        | plain_mlp("mixer.up_proj", "mixer.down_proj"),
        prefix="backbone.layers.{}.",
    ),
}


def packed(family: Family, path: str = "mlp.", gate: str = "mlp.gate") -> Family:
    """The same with the experts of a layer in two parameters, as Transformers 5 keeps them."""
    kept = {name: w for name, w in family.weights.items() if "{}" not in name and "block_sparse_moe" not in name}
    return replace(family, weights=kept | packed_experts(f"{path}experts.") | router(gate))


LAYOUTS |= {
    f"{arch}/packed": packed(LAYOUTS[arch])
    for arch in (
        *STRAIGHT_EXPERTS,
        "qwen2moe",
        "dots1",
        "glm4moe",
        "ernie4_5-moe",
        "exaone-moe",
        "minimax-m2",
        "deepseek2",
    )
}
LAYOUTS |= {
    "llama/mixtral-packed": packed(LAYOUTS["llama/mixtral"]),
    "granitemoe/packed": packed(LAYOUTS["granitemoe"], "block_sparse_moe.", "block_sparse_moe.router"),
    "granitehybrid/packed": packed(LAYOUTS["granitehybrid/experts"], "block_sparse_moe.", "block_sparse_moe.router"),
    "phimoe/packed": packed(LAYOUTS["phimoe"], gate="mlp.router"),
    "hunyuan-moe/packed": packed(LAYOUTS["hunyuan-moe"], gate="mlp.gate.wg"),
    "afmoe/packed": packed(LAYOUTS["afmoe"], gate="mlp.router.gate"),
    "lfm2moe/packed": packed(LAYOUTS["lfm2moe"], "feed_forward.", "feed_forward.gate"),
    "jamba/packed": packed(LAYOUTS["jamba"], "feed_forward.", "feed_forward.router"),
    "nemotron_h_moe": LAYOUTS["nemotron_h"],
    "nemotron_h/5": replace(LAYOUTS["nemotron_h"], prefix="model.layers.{}."),  # Transformers 5 renamed the backbone
}
