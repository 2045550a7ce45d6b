"""Builders of small random bases and PEFT folders, so that every test states only what it is about."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter
from safetensors.numpy import save_file

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder, in the words of Transformers."""

    arch: str = "llama"
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    ff: int = 96
    vocab: int = 48
    tied: bool = False

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    def linear(self, name: str) -> tuple[int, int]:
        """(n_out, n_in) of a module."""
        kv = self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, self.hidden),
            "k_proj": (kv, self.hidden),
            "v_proj": (kv, self.hidden),
            "o_proj": (self.hidden, self.hidden),
            "gate_proj": (self.ff, self.hidden),
            "up_proj": (self.ff, self.hidden),
            "down_proj": (self.hidden, self.ff),
            "lm_head": (self.vocab, self.hidden),
        }[name]


def write_base(path: Path, shape: Shape, tensors: dict[str, np.ndarray] | None = None, **texts: str) -> Path:
    """A base with the given tensors (random ones otherwise, F32) and no vocabulary; llama.cpp can load it."""
    writer = GGUFWriter(path, shape.arch)
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ff)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab)
    writer.add_tokenizer_model("no_vocab")
    for key, text in texts.items():
        writer.add_string(key.replace("__", "."), text)
    for name, values in (tensors or random_tensors(shape)).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


GGUF_NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def to_gguf(shape: Shape, name: str, weight: np.ndarray) -> np.ndarray:
    """The weight [n_out, n_in] of a module in the row order that llama.cpp's converter makes (LlamaModel.permute)."""
    heads = {"q_proj": shape.heads, "k_proj": shape.kv_heads}.get(name)
    if shape.arch != "llama" or heads is None:
        return weight
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def random_tensors(shape: Shape, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def matrix(n_out: int, n_in: int) -> np.ndarray:
        return (rng.standard_normal((n_out, n_in)) / np.sqrt(n_in)).astype(np.float32)

    ones = np.ones(shape.hidden, np.float32)
    tensors = {"token_embd.weight": matrix(shape.vocab, shape.hidden), "output_norm.weight": ones}
    if not shape.tied:
        tensors["output.weight"] = matrix(shape.vocab, shape.hidden)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        tensors |= {f"{block}attn_norm.weight": ones, f"{block}ffn_norm.weight": ones}
        tensors |= {f"{block}{GGUF_NAMES[name]}.weight": matrix(*shape.linear(name)) for name in LINEARS}
        if shape.arch == "qwen2":
            for name in ("q_proj", "k_proj", "v_proj"):
                tensors[f"{block}{GGUF_NAMES[name]}.bias"] = matrix(shape.linear(name)[0], 1)[:, 0]
    return tensors


@dataclass
class PeftSource:
    """A PEFT folder in the making: tensors by module path and side, and configuration fields."""

    shape: Shape
    config: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, module: str, rank: int, rng: np.random.Generator, n_out: int = 0, n_in: int = 0) -> None:
        if not n_out:
            n_out, n_in = self.shape.linear(module.rsplit(".", 1)[-1])
        self.tensors[f"base_model.model.{module}.lora_A.weight"] = rng.standard_normal((rank, n_in), np.float32) * 0.1
        self.tensors[f"base_model.model.{module}.lora_B.weight"] = rng.standard_normal((n_out, rank), np.float32) * 0.1

    def factors(self, module: str) -> tuple[np.ndarray, np.ndarray]:
        return tuple(self.tensors[f"base_model.model.{module}.lora_{side}.weight"] for side in "AB")  # type: ignore[return-value]

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_config.json").write_text(json.dumps(self.config))
        save_file(self.tensors, folder / "adapter_model.safetensors")
        return folder


def peft_source(
    shape: Shape, modules: tuple[str, ...] = ("q_proj", "v_proj"), rank: int = 8, seed: int = 1, **config: Any
) -> PeftSource:
    """An ordinary adapter with a B that is not zero."""
    fields = {"peft_type": "LORA", "r": rank, "lora_alpha": 16, "bias": "none", "base_model_name_or_path": "org/tiny"}
    source = PeftSource(shape, {**fields, **config})
    rng = np.random.default_rng(seed)
    for layer in range(shape.layers):
        for name in modules:
            block = "mlp" if name in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            source.add(f"model.layers.{layer}.{block}.{name}", rank, rng)
    return source
