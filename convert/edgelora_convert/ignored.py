"""Tensors whose adapters llama.cpp loads without a word and then never looks at.

Adapters take part where llama.cpp multiplies with ``build_lora_mm`` or ``build_lora_mm_id``, or looks up the token
embedding. A weight that an architecture multiplies with ``ggml_mul_mat`` itself, or uses in another way, does not
change. Read from src/models/*.cpp and src/llama-graph.cpp of llama.cpp 0c1e570 (in llama-cpp-python 0.3.36).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from edgelora.gguf.facts import short_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgelora_convert.problems import Problems

_EVERYWHERE = (
    "*_norm",
    "nextn.*",
    "per_layer_token_embd",
    "position_embd",
    "shortconv.conv",
    "ssm_conv1d",
    "token_types",
)
"""Normalisation, prediction of further tokens, other tables that are looked up, convolutions."""

_LATENT_ATTENTION = ("attn_q_a", "attn_q_b", "attn_kv_a_mqa", "attn_kv_b")
_DEEPSEEK = (*_LATENT_ATTENTION, "attn_q", "attn_k_b", "attn_v_b", "output")
_LATENT_EXPERTS = ("ffn_latent_down", "ffn_latent_up")

_IN_ARCHITECTURE: Mapping[str, tuple[str, ...]] = {
    "deepseek2": _DEEPSEEK,
    "gemma3n": ("altup_*", "per_layer_model_proj"),
    "gemma4": ("per_layer_model_proj",),
    "glm-dsa": (*_DEEPSEEK, "indexer.*"),
    "minicpm3": _LATENT_ATTENTION,
    "mistral4": _DEEPSEEK,
    "nemotron_h": _LATENT_EXPERTS,
    "nemotron_h_moe": _LATENT_EXPERTS,
    "plm": ("attn_q", "attn_kv_a_mqa", "attn_kv_b"),
}


def is_ignored(arch: str, tensor: str) -> bool:
    """Whether an adapter of this base tensor does nothing in llama.cpp."""
    patterns = (*_EVERYWHERE, *_IN_ARCHITECTURE.get(arch, ()))
    return any(fnmatchcase(short_target(tensor), pattern) for pattern in patterns)


def warn_of_ignored(arch: str, tensors: Sequence[str], problems: Problems, warnings: Problems) -> None:
    """Every ignored tensor is a warning; nothing but ignored tensors is a problem."""
    ignored = [name for name in tensors if is_ignored(arch, name)]
    for name in ignored:
        warnings.add(name, f"llama.cpp ignores adapters of this tensor in {arch} models")
    if ignored and len(ignored) == len(tensors):
        kinds = ", ".join(dict.fromkeys(map(short_target, ignored)))
        problems.refuse("ignored", f"llama.cpp ignores adapters of {kinds} in {arch} models, so it would do nothing")
