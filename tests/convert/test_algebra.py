"""For every layout rule: converting the factors is the same as converting the weight that they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.convert import convert
from support.peft_folders import GGUF_NAMES, LINEARS, Shape, peft_source, to_gguf, write_base

from edgelora.gguf.data import tensor_data
from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from pathlib import Path


def change_of(adapter: Path, tensor: str) -> np.ndarray:
    """What llama.cpp adds to a base tensor at user scale 1, f32 [n_out, n_in]."""
    header = read_header(adapter)
    a, b = (tensor_data(header, header.tensors[f"{tensor}.lora_{side}"]) for side in "ab")
    return AdapterFacts.of(header).scales[tensor] * (b.astype(np.float32) @ a.astype(np.float32))


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
@pytest.mark.parametrize("heads", [(4, 2, 64), (2, 2, 64), (6, 1, 96)], ids=str)
def test_converted_weight_plus_converted_change(tmp_path: Path, arch: str, heads: tuple[int, int, int]) -> None:
    """T(W + s·B·A) == T(W) + s'·B'·A' for all linear layers, T being what llama.cpp's converter does to a weight."""
    n_head, n_kv, hidden = heads
    shape = Shape(arch=arch, hidden=hidden, heads=n_head, kv_heads=n_kv)
    source = peft_source(shape, LINEARS, lora_alpha=24)
    base = write_base(tmp_path / "base.gguf", shape)
    adapter = tmp_path / "adapter.gguf"
    convert(source.save(tmp_path / "peft"), base, adapter, "f32")
    rng = np.random.default_rng(2)
    for layer in range(shape.layers):
        for name in LINEARS:
            block = "mlp" if name in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            a, b = source.factors(f"model.layers.{layer}.{block}.{name}")
            weight = rng.standard_normal(shape.linear(name), np.float32)
            tensor = f"blk.{layer}.{GGUF_NAMES[name]}.weight"
            merged = to_gguf(shape, name, weight + 24 / 8 * (b @ a))
            np.testing.assert_allclose(
                merged, to_gguf(shape, name, weight) + change_of(adapter, tensor), rtol=0, atol=2e-6
            )
