"""What each architecture does to its weights: tables from tensor names to rules.

Keys are the short tensor names that gguf's name map gives a module (``attn_qkv``), and names for fused matrices that
no GGUF has (``ffn_gate_up``). A tensor without a rule keeps its layout. The source of each entry is the file of that
architecture under conversion/ in llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgelora_convert.layout import attention as at
from edgelora_convert.layout.rules import (
    IndexRule,
    Part,
    Refused,
    Rule,
    every_second,
    expert_rows,
    half,
    vocabulary,
    within,
)

Rules = Mapping[str, Rule]

Splitter = Callable[[int], IndexRule]
"""Chooses the rows of the n-th of several matrices that were trained as one."""


def _qkv(split: Splitter) -> Rule:
    return Part("attn_q", split(at.Q)), Part("attn_k", split(at.K)), Part("attn_v", split(at.V))


def _rotary_qkv(split: Splitter) -> Rule:
    return (
        Part("attn_q", within(split(at.Q), at.rotary_query)),
        Part("attn_k", within(split(at.K), at.rotary_key)),
        Part("attn_v", split(at.V)),
    )


def _gate_up(suffix: str = "", split: Splitter = half) -> Rule:
    return Part(f"ffn_gate{suffix}", split(0)), Part(f"ffn_up{suffix}", split(1))


COMMON: Rules = {
    "attn_qkv": _qkv(at.blocks),
    "attn_kv": (Part("attn_k", half(0)), Part("attn_v", half(1))),
    "ffn_gate_up": _gate_up(),
    "ffn_gate_up_shexp": _gate_up("_shexp"),
    "ffn_gate_up_exps": _gate_up("_exps"),
}
"""How a fused matrix is taken apart where the base does not have it in one piece and its architecture says nothing."""

_SAME: Rules = {}

_ROTARY: Rules = {
    "attn_q": (Part("attn_q", at.rotary_query),),
    "attn_k": (Part("attn_k", at.rotary_key),),
    "attn_qkv": _rotary_qkv(at.blocks),
}

_EXPERT_ROWS: Rules = {
    "ffn_gate_exps": (Part("ffn_gate_exps", expert_rows),),
    "ffn_up_exps": (Part("ffn_up_exps", expert_rows),),
    "ffn_down_exps": (Part("ffn_down_exps", expert_rows, transposed=True),),
}

_LATENT: Rules = {
    "attn_kv_b": (Part("attn_k_b", at.latent_key, transposed=True), Part("attn_v_b", at.latent_value)),
}

_TILED: Rules = {
    "attn_qkv": (Part("attn_qkv", at.tiled_values_after_keys),),
    "attn_gate": (Part("attn_gate", at.tiled_values),),
    "ssm_alpha": (Part("ssm_alpha", at.tiled_values),),
    "ssm_beta": (Part("ssm_beta", at.tiled_values),),
    "ssm_out": (Part("ssm_out", columns=at.tiled_values),),
}

_FALCON_H1 = Refused("llama.cpp scales this weight of Falcon-H1 with multipliers that the GGUF does not hold")
_JAIS = Refused("llama.cpp scales this weight of Jais with factors that the GGUF does not hold")

_BAILING = Refused("llama.cpp divides this weight of BailingMoE by norms that the GGUF does not hold")

PLAIN = frozenset(
    {
        "afmoe", "apertus", "bailingmoe2", "bitnet", "chatglm", "codeshell", "cohere2", "command-r", "dots1",
        "dream", "ernie4_5", "ernie4_5-moe", "exaone", "exaone-moe", "exaone4", "gemma", "gemma-embedding",
        "gemma2", "gemma3n", "gemma4", "glm4moe", "gpt2", "hunyuan-dense", "hunyuan-moe", "hunyuan_vl", "jamba",
        "lfm2", "lfm2moe", "llada-moe", "llama4", "maincoder", "mamba", "mamba2", "minicpm3", "minimax-m2",
        "mpt", "nemotron", "olmo2", "olmoe", "openelm", "orion", "paddleocr",
        "pangu-embedded", "phi2", "phi3", "phimoe", "plm", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3",
        "qwen3moe", "qwen3vl", "qwen3vlmoe", "refact", "rnd1", "seed_oss", "smallthinker", "stablelm",
        "starcoder", "starcoder2",
    }
)  # fmt: skip
"""Architectures that change nothing but names, and keep fused matrices in the order that COMMON gives them."""

ARCHITECTURES: Mapping[str, Rules] = {
    **dict.fromkeys(sorted(PLAIN), _SAME),
    # rotary pairs side by side
    "llama": _ROTARY,
    "arcee": _ROTARY,
    "arctic": _ROTARY,
    "baichuan": _ROTARY,
    "chameleon": _ROTARY,
    "deci": _ROTARY,
    "deepseek": _ROTARY,
    "granite": _ROTARY,
    "granitehybrid": _ROTARY,
    "granitemoe": _ROTARY,
    "llada": _ROTARY,
    "llama-embed": _ROTARY,
    "minicpm": _ROTARY,
    "mistral3": _ROTARY,
    "nemotron_h": _ROTARY,  # though nothing is rotated: its class in conversion/ is a Llama's
    "nemotron_h_moe": _ROTARY,
    "olmo": _ROTARY,
    "smollm3": _ROTARY,
    "xverse": _ROTARY,
    "internlm2": {**_ROTARY, "attn_qkv": _rotary_qkv(at.per_key_head)},
    # fused attention in another order
    "bloom": {"attn_qkv": _qkv(at.per_head)},
    "falcon": {"attn_qkv": _qkv(at.per_key_head)},
    "gptneox": {"attn_qkv": _qkv(at.per_head)},
    # rules of their own
    "bailingmoe": {**_ROTARY, "output": _BAILING},
    "dbrx": _EXPERT_ROWS,
    "deepseek2": _LATENT,
    "falcon-h1": dict.fromkeys(
        (
            *("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_down"),
            *("ssm_in", "ssm_out", "token_embd", "output"),
        ),
        _FALCON_H1,
    ),
    "gemma3": {"token_embd": (Part("token_embd", columns=vocabulary),), "output": (Part("output", vocabulary),)},
    "glm-dsa": _LATENT,
    "glm4": {"attn_q": (Part("attn_q", at.halves_apart),), "attn_k": (Part("attn_k", at.halves_apart),)},
    "gpt-oss": {"ffn_gate_up_exps": _gate_up("_exps", every_second)},
    "jais": {"token_embd": _JAIS, "output": _JAIS},
    "mistral4": _LATENT,
    "plamo": {
        "attn_q": (Part("attn_q", at.by_key_head),),
        "attn_output": (Part("attn_output", columns=at.by_key_head),),
    },
    "qwen35": _TILED,
    "qwen35moe": _TILED,
    "qwen3next": {"ssm_in": (Part("attn_qkv", at.linear_qkv), Part("attn_gate", at.linear_gate))},
}
"""Every architecture that adapters can be converted for."""
