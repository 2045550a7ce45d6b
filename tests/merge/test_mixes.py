"""The mixes of types against llama.cpp's own quantization of whole models."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.exports import decoder_metadata, write_gguf

from edgelora.gguf.reader import read_header
from edgelora.merge.mixes import MIXES, mixed_types

if TYPE_CHECKING:
    from pathlib import Path

FILE_TYPES = {"f16": 1, "q8_0": 7, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}
"""enum llama_ftype."""


@dataclass(frozen=True)
class Model:
    """A Llama that is as small as its shapes allow."""

    layers: int
    hidden: int = 256
    ff: int = 256
    experts: int = 0
    tied: bool = False
    fused: bool = False

    def write(self, path: Path) -> Path:
        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(shape, np.float32)

        hidden, heads = self.hidden, 4
        tensors = {"token_embd.weight": zeros(32, hidden), "output_norm.weight": zeros(hidden)}
        if not self.tied:
            tensors["output.weight"] = zeros(32, hidden)
        block = {"attn_norm": zeros(hidden), "ffn_norm": zeros(hidden), "attn_output": zeros(hidden, hidden)}
        kv = hidden // heads
        parts = {"attn_q": hidden, "attn_k": kv, "attn_v": kv}
        block |= (
            {"attn_qkv": zeros(hidden + 2 * kv, hidden)}
            if self.fused
            else {name: zeros(rows, hidden) for name, rows in parts.items()}
        )
        stack, end = ((self.experts,), "_exps") if self.experts else ((), "")
        block |= {f"ffn_{name}{end}": zeros(*stack, self.ff, hidden) for name in ("gate", "up")}
        block[f"ffn_down{end}"] = zeros(*stack, hidden, self.ff)
        if self.experts:
            block["ffn_gate_inp"] = zeros(self.experts, hidden)
        tensors |= {
            f"blk.{layer}.{name}.weight": values for layer in range(self.layers) for name, values in block.items()
        }
        facts = {
            "block_count": self.layers,
            "embedding_length": hidden,
            "feed_forward_length": self.ff,
            "attention.head_count": heads,
            "attention.head_count_kv": 1,
            "attention.key_length": kv,
            "attention.value_length": kv,
            "rope.dimension_count": kv,
            "vocab_size": 32,
        }
        facts |= {"expert_count": self.experts, "expert_used_count": 2} if self.experts else {}
        return write_gguf(path, "phi3" if self.fused else "llama", decoder_metadata() | facts, tensors)


@pytest.mark.parametrize("mix", FILE_TYPES)
@pytest.mark.parametrize(
    "model",
    [
        Model(layers=1),
        Model(layers=17),
        Model(layers=8, tied=True),
        Model(layers=4, ff=352),
        Model(layers=3, hidden=96, ff=96, tied=True),
        Model(layers=4, ff=72),
        Model(layers=9, experts=8),
        Model(layers=9, experts=4),
        Model(layers=80, hidden=32, ff=32),
        Model(layers=5, fused=True),
    ],
    ids=str,
)
def test_every_tensor_gets_the_type_that_llama_quantize_gives_it(model: Model, mix: str, tmp_path: Path) -> None:
    source, out = model.write(tmp_path / "source.gguf"), tmp_path / "out.gguf"
    quantize_whole(source, out, FILE_TYPES[mix])
    expected = {name: info.type_name for name, info in read_header(out).tensors.items()}
    assert mixed_types(MIXES[mix], read_header(source)) == expected
    assert len(set(expected.values())) > (2 if mix.endswith("_m") else 1)


def quantize_whole(source: Path, out: Path, file_type: int) -> None:
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = file_type, 1
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(out).encode(), ctypes.byref(params)) == 0
