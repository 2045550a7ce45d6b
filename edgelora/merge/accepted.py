"""Tensors that llama.cpp would load beside those of a base: ``load_arch_tensors`` in src/models/*.cpp."""

from __future__ import annotations

from collections.abc import Mapping

_ATTENTION = frozenset({"attn_q", "attn_k", "attn_v", "attn_qkv"})
_ALL = _ATTENTION | {"attn_output", "ffn_gate", "ffn_up", "ffn_down"}

OPTIONAL_BIASES: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("deci", "granite", "llama", "mistral3"), _ALL),
    **dict.fromkeys(
        (
            *("arcee", "cohere2", "command-r", "exaone", "exaone4", "gemma", "gemma2", "gemma3", "glm4", "internlm2"),
            *("olmo", "olmo2", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "seed_oss", "smollm3", "stablelm"),
        ),
        _ATTENTION,
    ),
}
"""Short names of the weights that may have a bias, by architecture: the loader takes it where it is, and the graph adds
it (``create_tensor_qkv`` with ``build_qkv``, and the tensors marked TENSOR_NOT_REQUIRED)."""

ONE_MATRIX = frozenset({"bitnet", "cohere2", "command-r", "gemma", "gemma2", "openelm"})
"""Architectures whose loader takes the token embedding as the output matrix and never looks for ``output.weight``."""
