"""One-layer bases with the tensors that a table of weight layouts gives, as they are or fused differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFWriter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.rearrangements import Dims

VOCAB = 16


def write_layout_base(path: Path, arch: str, dims: Dims, tensors: Mapping[str, np.ndarray], *, mrope: bool) -> Path:
    """A base of one block with ``tensors`` by short name; no runtime could load it, but its header says everything."""
    writer = GGUFWriter(path, arch)
    writer.add_block_count(1)
    writer.add_embedding_length(dims.hidden)
    writer.add_head_count(dims.heads)
    writer.add_head_count_kv(dims.kv_heads)
    writer.add_key_length(dims.head_dim)
    writer.add_value_length(dims.head_dim)
    writer.add_expert_count(dims.experts)
    latent = arch in ("deepseek2", "glm-dsa", "mistral4")
    if latent:
        writer.add_key_length_mla(dims.nope + dims.rope)
        writer.add_value_length_mla(dims.mla_value)
    writer.add_rope_dimension_count(dims.rope if latent else dims.rotary)
    if mrope:
        writer.add_rope_dimension_sections([2, 1, 1, 0])
    writer.add_ssm_group_count(dims.key_heads)
    writer.add_ssm_time_step_rank(dims.value_heads)
    writer.add_ssm_state_size(dims.key_dim)
    writer.add_ssm_inner_size(dims.value_heads * dims.value_dim)
    writer.add_tensor("token_embd.weight", np.zeros((VOCAB, dims.hidden), np.float32))
    for name, values in tensors.items():
        writer.add_tensor(f"blk.0.{name}.weight", np.ascontiguousarray(values, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


FUSIONS = {
    "attn_qkv": ("attn_q", "attn_k", "attn_v"),
    "ffn_gate_up_exps": ("ffn_gate_exps", "ffn_up_exps"),
}


def fused(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same with q, k, v and the gates and ups of experts in one tensor each, as llama.cpp's converter can do."""
    made = dict(tensors)
    for whole, parts in FUSIONS.items():
        if whole not in made and all(part in made for part in parts):
            made[whole] = np.concatenate([made.pop(part) for part in parts], axis=-2)
    return made


def taken_apart(tensors: Mapping[str, np.ndarray], dims: Dims) -> dict[str, np.ndarray]:
    """The same with q, k, v and gate, up in tensors of their own."""
    made = dict(tensors)
    if "attn_qkv" in made and len(made["attn_qkv"]) == dims.qkv:
        split = np.split(made.pop("attn_qkv"), [dims.q, dims.q + dims.kv])
        made |= dict(zip(FUSIONS["attn_qkv"], split, strict=True))
    for suffix, size in (("", dims.ff), ("_shexp", dims.shared_ff)):
        up = made.get(f"ffn_up{suffix}")
        if up is not None and len(up) == 2 * size and f"ffn_gate{suffix}" not in made:
            made[f"ffn_gate{suffix}"], made[f"ffn_up{suffix}"] = np.split(up, 2)
    return made
