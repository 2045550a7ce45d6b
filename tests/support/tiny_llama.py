"""A random Llama of two layers as a GGUF in F32, without a vocabulary; with experts it is a Mixtral."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from support.exports import SIZES, VOCAB, decoder_metadata, write_gguf

if TYPE_CHECKING:
    from pathlib import Path


def write_tiny_llama(path: Path, *, experts: int = 0, used: int = 0, vocab: int = VOCAB, seed: int = 0) -> Path:
    """``used`` of ``experts`` take part in each token."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    hidden, kv = SIZES.hidden, SIZES.kv_heads * SIZES.head_dim
    tensors = {"token_embd.weight": weight(vocab, hidden), "output.weight": weight(vocab, hidden)}
    tensors["output_norm.weight"] = np.ones(hidden, np.float32)
    for layer in range(2):
        block = {
            "attn_q": weight(hidden, hidden),
            "attn_k": weight(kv, hidden),
            "attn_v": weight(kv, hidden),
            "attn_output": weight(hidden, hidden),
            "attn_norm": 1 + 0.2 * weight(hidden),
            "ffn_norm": 1 + 0.2 * weight(hidden),
        }
        stack = (experts,) if experts else ()
        end = "_exps" if experts else ""
        block |= {f"ffn_{name}{end}": weight(*stack, SIZES.ff, hidden) for name in ("gate", "up")}
        block[f"ffn_down{end}"] = weight(*stack, hidden, SIZES.ff)
        if experts:
            block["ffn_gate_inp"] = weight(experts, hidden)
        tensors |= {f"blk.{layer}.{name}.weight": values for name, values in block.items()}
    counts = {"expert_count": experts, "expert_used_count": used} if experts else {}
    return write_gguf(path, "llama", decoder_metadata(**counts) | {"vocab_size": vocab, "context_length": 512}, tensors)
