"""Experts and embeddings through a whole conversion: from MLX to GGUF, and from there to another GGUF."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.convert import convert
from safetensors.numpy import save_file
from support.exports import write_gguf

from edgelora.gguf.data import tensor_data
from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from pathlib import Path

EXPERTS, WIDTH, FF, VOCAB, RANK = 4, 64, 32, 40, 4
SIZES = {"gate": (FF, WIDTH), "up": (FF, WIDTH), "down": (WIDTH, FF)}
RNG = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def base_of(path: Path, arch: str) -> Path:
    """A base with one layer of experts and an output matrix of its own."""
    metadata = {
        "block_count": 1,
        "embedding_length": WIDTH,
        "feed_forward_length": FF,
        "attention.head_count": 4,
        "attention.head_count_kv": 4,
        "expert_count": EXPERTS,
        "expert_used_count": 2,
        "context_length": 64,
    }
    tensors = {"token_embd.weight": values(VOCAB, WIDTH), "output.weight": values(VOCAB, WIDTH)}
    tensors |= {f"blk.0.ffn_{name}_exps.weight": values(EXPERTS, *size) for name, size in SIZES.items()}
    return write_gguf(path, arch, metadata, tensors)


def changes(path: Path) -> dict[str, np.ndarray]:
    """What an adapter adds to each tensor, as llama.cpp computes it; of the embedding [n_vocab, n_embd]."""
    header = read_header(path)
    found = {}
    for name, scale in AdapterFacts.of(header).scales.items():
        a, b = (np.asarray(tensor_data(header, header.tensors[f"{name}.lora_{side}"]), np.float32) for side in "ab")
        found[name] = scale * (a @ b.T if name.startswith("token_embd") else b @ a)
    return found


@pytest.mark.parametrize(("arch", "mlp"), [("qwen3moe", "mlp"), ("llama", "block_sparse_moe")])
def test_experts_and_embeddings(tmp_path: Path, arch: str, mlp: str) -> None:
    base = base_of(tmp_path / "base.gguf", arch)
    tensors, expected = {}, {}
    for name, (n_out, n_in) in SIZES.items():
        a, b = values(EXPERTS, RANK, n_in), values(EXPERTS, n_out, RANK)
        module = f"model.layers.0.{mlp}.switch_mlp.{name}_proj"
        tensors |= {f"{module}.lora_a": a, f"{module}.lora_b": b}
        expected[f"blk.0.ffn_{name}_exps.weight"] = 3.0 * b @ a
    for module, target in (("model.embed_tokens", "token_embd.weight"), ("lm_head", "output.weight")):
        n_in, n_out = (VOCAB, WIDTH) if target == "token_embd.weight" else (WIDTH, VOCAB)
        a, b = values(n_in, RANK), values(RANK, n_out)
        tensors |= {f"{module}.lora_a": a, f"{module}.lora_b": b}
        expected[target] = 3.0 * (a @ b if target == "token_embd.weight" else (a @ b).T)
    save_file(tensors, tmp_path / "adapters.safetensors")
    config = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": {"rank": RANK, "scale": 3.0}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))

    convert(tmp_path / "adapters.safetensors", base, tmp_path / "first.gguf", dtype="f32")
    convert(tmp_path / "first.gguf", base, tmp_path / "second.gguf", dtype="f32")
    for path in (tmp_path / "first.gguf", tmp_path / "second.gguf"):
        found = changes(path)
        assert found.keys() == expected.keys()
        for name, change in expected.items():
            np.testing.assert_allclose(found[name], change, rtol=1e-4, atol=1e-4)
