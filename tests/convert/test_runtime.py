"""Converted adapters in llama.cpp: the logits of the base with the adapter are those of the merged weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.convert import convert
from support.logits import native_rows, relative_error
from support.peft_folders import GGUF_NAMES, LINEARS, Shape, peft_source, random_tensors, to_gguf, write_base

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = ([1, 2, 3], [4, 5, 6, 7, 8, 9], [10])


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_adapter_equals_merged_weights(tmp_path: Path, arch: str, tied: bool) -> None:
    shape = Shape(arch=arch, tied=tied)
    source = peft_source(shape, LINEARS, use_rslora=True)
    tensors = random_tensors(shape)
    base = write_base(tmp_path / "base.gguf", shape, tensors)
    convert(source.save(tmp_path / "p"), base, tmp_path / "adapter.gguf", "f32")
    merged = write_base(tmp_path / "merged.gguf", shape, tensors | _merged(shape, source.tensors, tensors))
    plain = native_rows(base, PROMPTS)
    adapted = native_rows(base, PROMPTS, tmp_path / "adapter.gguf")
    expected = native_rows(merged, PROMPTS)
    assert relative_error(adapted, expected) < 1e-5
    assert relative_error(plain, expected) > 0.1


def _merged(shape: Shape, factors: dict[str, np.ndarray], tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Base tensors with s·B·A added; s is 16/√8."""
    merged = {}
    for name, a in factors.items():
        if name.endswith("lora_A.weight"):
            parts = name.split(".")
            layer, module = parts[4], parts[6]
            change = 16 / 8**0.5 * (factors[name.replace("lora_A", "lora_B")] @ a)
            tensor = f"blk.{layer}.{GGUF_NAMES[module]}.weight"
            merged[tensor] = tensors[tensor] + to_gguf(shape, module, change)
    return merged


@pytest.mark.parametrize("dtype", ["auto", "bf16", "q8_0"])
def test_every_type_runs(tmp_path: Path, dtype: str) -> None:
    shape = Shape()
    base = write_base(tmp_path / "base.gguf", shape)
    folder = peft_source(shape, LINEARS, rank=32).save(tmp_path / "p")
    convert(folder, base, tmp_path / "exact.gguf", "f32")
    convert(folder, base, tmp_path / "adapter.gguf", dtype)  # type: ignore[arg-type]
    exact = native_rows(base, PROMPTS, tmp_path / "exact.gguf")
    error = relative_error(native_rows(base, PROMPTS, tmp_path / "adapter.gguf"), exact)
    assert error < {"auto": 3e-3, "bf16": 3e-2, "q8_0": 3e-2}[dtype]


def test_an_embedding_adapter_runs(tmp_path: Path) -> None:
    """A token's embedding changes by s·B times its column of A."""
    shape = Shape()
    rng = np.random.default_rng(3)
    source = peft_source(shape, ())
    a, b = rng.standard_normal((8, shape.vocab), np.float32), rng.standard_normal((shape.hidden, 8), np.float32) * 0.1
    embedding = "base_model.model.model.embed_tokens.lora_embedding_"
    source.tensors = {f"{embedding}A": a, f"{embedding}B": b}
    tensors = random_tensors(shape)
    base = write_base(tmp_path / "base.gguf", shape, tensors)
    convert(source.save(tmp_path / "p"), base, tmp_path / "adapter.gguf", "f32")
    changed = {"token_embd.weight": tensors["token_embd.weight"] + 16 / 8 * (b @ a).T}
    merged = write_base(tmp_path / "merged.gguf", shape, tensors | changed)
    adapted = native_rows(base, PROMPTS, tmp_path / "adapter.gguf")
    assert relative_error(adapted, native_rows(merged, PROMPTS)) < 1e-5
