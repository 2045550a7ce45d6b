"""Tiny random bases in F32 whose caches differ: of full attention, with a sliding window, and partly recurrent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from support.exports import CONTEXT, LAYERS, SIZES, VOCAB, decoder_metadata, write_gguf
from support.tiny_llama import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Weights = Callable[..., np.ndarray]

WINDOW = 16


def write_full(path: Path) -> Path:
    """Every cell is kept."""
    return write_tiny_llama(path)


def write_windowed(path: Path) -> Path:
    """A Gemma 3 of two layers, the first with a window of 16 tokens."""
    weight = _weights()
    wide, narrow = SIZES.heads * SIZES.head_dim, SIZES.kv_heads * SIZES.head_dim
    tensors = {"token_embd.weight": weight(VOCAB, SIZES.hidden), "output_norm.weight": _ones(SIZES.hidden)}
    for layer in range(LAYERS):
        block = {
            **_attention(weight, wide, narrow),
            **_feed_forward(weight),
            "post_attention_norm": _ones(SIZES.hidden),
            "post_ffw_norm": _ones(SIZES.hidden),
        }
        tensors |= {f"blk.{layer}.{name}.weight": values for name, values in block.items()}
    metadata = decoder_metadata(attention__sliding_window=WINDOW, attention__sliding_window_pattern=[True, False])
    return write_gguf(path, "gemma3", metadata | {"context_length": 4 * CONTEXT}, tensors)


def write_hybrid(path: Path) -> Path:
    """An LFM2 of two layers: a short convolution with a state, and attention."""
    weight = _weights()
    hidden, narrow = SIZES.hidden, SIZES.kv_heads * SIZES.head_dim
    tensors = {"token_embd.weight": weight(VOCAB, hidden), "token_embd_norm.weight": _ones(hidden)}
    convolution = {
        "attn_norm": _ones(hidden),
        "shortconv.conv": weight(hidden, 3),
        "shortconv.in_proj": weight(3 * hidden, hidden),
        "shortconv.out_proj": weight(hidden, hidden),
    }
    for layer, mixer in enumerate((convolution, _attention(weight, hidden, narrow))):
        block = mixer | _feed_forward(weight)
        tensors |= {f"blk.{layer}.{name}.weight": values for name, values in block.items()}
    metadata = decoder_metadata(shortconv__l_cache=3, attention__head_count_kv=[0, SIZES.kv_heads])
    return write_gguf(path, "lfm2", metadata | {"context_length": 4 * CONTEXT}, tensors)


BASES = {"full": write_full, "windowed": write_windowed, "hybrid": write_hybrid}


def _weights() -> Weights:
    rng = np.random.default_rng(0)
    return lambda *shape: (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def _ones(size: int) -> np.ndarray:
    return np.ones(size, np.float32)


def _attention(weight: Weights, wide: int, narrow: int) -> dict[str, np.ndarray]:
    hidden = SIZES.hidden
    return {
        "attn_norm": _ones(hidden),
        "attn_q": weight(wide, hidden),
        "attn_k": weight(narrow, hidden),
        "attn_v": weight(narrow, hidden),
        "attn_output": weight(hidden, wide),
        "attn_q_norm": _ones(SIZES.head_dim),
        "attn_k_norm": _ones(SIZES.head_dim),
    }


def _feed_forward(weight: Weights) -> dict[str, np.ndarray]:
    hidden, ff = SIZES.hidden, SIZES.ff
    return {
        "ffn_norm": _ones(hidden),
        "ffn_gate": weight(ff, hidden),
        "ffn_up": weight(ff, hidden),
        "ffn_down": weight(hidden, ff),
    }
