"""Adapters of mlx-lm mean what mlx-lm computes with them: y + scale·(x·a)·b, of experts each by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.problems import Problems
from edgelora_convert.sources.read import read_source
from edgelora_convert.update import Kind
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora_convert.source import Source

    from .conftest import Refused

CONFIG = {"fine_tune_type": "lora", "model": "org/tiny-4bit", "num_layers": 4}
PARAMETERS = {"rank": 3, "dropout": 0.0, "scale": 12.5}
Q = "model.layers.3.self_attn.q_proj"
RNG = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def pair(module: str, a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{module}.lora_a": a, f"{module}.lora_b": b}


def save(folder: Path, tensors: dict[str, np.ndarray], parameters: object = PARAMETERS, **fields: Any) -> Path:
    config = {**CONFIG, "lora_parameters": parameters, **fields}
    (folder / "adapter_config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    save_file(tensors, folder / "adapters.safetensors")
    return folder


def read(folder: Path) -> tuple[Source, list[str]]:
    problems, warnings = Problems("x"), Problems("x")
    source = read_source(folder, problems, warnings)
    assert problems.lines() == []
    return source, warnings.lines()


def test_a_layer(tmp_path: Path) -> None:
    a, b = values(5, 3), values(3, 7)
    source, warnings = read(save(tmp_path, pair(Q, a, b)))
    (update,) = source.updates
    assert (update.module, update.kind, update.expert, update.rank) == (Q, Kind.LINEAR, None, 3)
    x = values(5)
    np.testing.assert_allclose(update.scale * update.b.load() @ (update.a.load() @ x), 12.5 * (x @ a @ b), rtol=1e-5)
    assert (update.a.shape, update.b.shape) == ((3, 5), (7, 3))
    assert (source.base_name, source.naming, warnings) == ("org/tiny-4bit", "transformers", [])


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("model.h.0.attention.dense", "gpt_neox.layers.0.attention.dense"),
        ("model.h.0.mlp.dense_h_to_4h", "gpt_neox.layers.0.mlp.dense_h_to_4h"),
        ("model.h.0.attn.c_attn", "model.h.0.attn.c_attn"),
        ("model.layers.0.mlp.gate_proj", "model.layers.0.mlp.gate_proj"),
    ],
)
def test_names_of_transformers(tmp_path: Path, module: str, name: str) -> None:
    """GPT-NeoX is what mlx-lm calls by other names; GPT-2 has blocks of that name itself."""
    (update,) = read(save(tmp_path, pair(module, values(5, 3), values(3, 7))))[0].updates
    assert update.module == name


def test_an_embedding(tmp_path: Path) -> None:
    a, b = values(11, 3), values(3, 4)
    (update,) = read(save(tmp_path, pair("model.embed_tokens", a, b)))[0].updates
    assert update.kind is Kind.EMBEDDING
    np.testing.assert_allclose((update.b.load() @ update.a.load()).T, a @ b, rtol=1e-5)


@pytest.mark.parametrize("stacked", [True, False], ids=["experts, rank", "experts·rank"])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("model.layers.0.mlp.switch_mlp.gate_proj", "model.layers.0.mlp.experts.gate_proj"),
        ("model.layers.0.mlp.experts.up_proj", "model.layers.0.mlp.experts.up_proj"),
        ("model.layers.0.block_sparse_moe.switch_mlp.gate_proj", "model.layers.0.block_sparse_moe.experts.w1"),
        ("model.layers.0.block_sparse_moe.switch_mlp.down_proj", "model.layers.0.block_sparse_moe.experts.w2"),
        ("model.layers.0.block_sparse_moe.switch_mlp.up_proj", "model.layers.0.block_sparse_moe.experts.w3"),
    ],
)
def test_experts(tmp_path: Path, module: str, name: str, stacked: bool) -> None:
    a, b = values(4, 3, 5), values(4, 7, 3)
    updates = read(save(tmp_path, pair(module, a if stacked else a.reshape(12, 5), b)))[0].updates
    assert [(update.module, update.expert) for update in updates] == [(name, expert) for expert in range(4)]
    for expert, update in enumerate(updates):
        np.testing.assert_array_equal(update.a.load(), a[expert])
        np.testing.assert_array_equal(update.b.load(), b[expert])


def test_a_numbered_checkpoint(tmp_path: Path) -> None:
    folder = save(tmp_path, pair(Q, values(5, 3), values(3, 7)))
    earlier = values(5, 3)
    save_file(pair(Q, earlier, values(3, 7)), folder / "0000100_adapters.safetensors")
    source, _ = read(folder / "0000100_adapters.safetensors")
    np.testing.assert_array_equal(source.updates[0].a.load(), earlier.T)


@pytest.mark.parametrize(
    ("parameters", "fields", "warned"),
    [
        ({**PARAMETERS, "alpha": 16}, {"num_layers": None, "lora_layers": 4}, True),
        ({**PARAMETERS, "alpha": 3}, {"num_layers": None, "lora_layers": 4}, False),
        ({**PARAMETERS, "alpha": 16}, {}, False),
        (PARAMETERS, {"num_layers": None, "lora_layers": 4}, False),
    ],
    ids=["older", "alpha is rank", "newer", "no alpha"],
)
def test_alpha_counts_in_no_version_that_can_be_told(
    tmp_path: Path, parameters: dict[str, float], fields: dict[str, Any], warned: bool
) -> None:
    source, warnings = read(save(tmp_path, pair(Q, values(5, 3), values(3, 7)), parameters, **fields))
    assert source.updates[0].scale == 12.5
    assert bool(warnings) == warned
    if warned:
        assert "its scale is 66.6667: convert it with --scale 5.33333" in warnings[0]


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "DoRA": ({"fine_tune_type": "dora"}, "DoRA"),
    "DoRA before": ({"fine_tune_type": None, "use_dora": True}, "DoRA"),
    "full": ({"fine_tune_type": "full"}, "whole model"),
    "other": ({"fine_tune_type": ["x"]}, "fine_tune_type is a list;"),
    "no parameters": ({"parameters": None, "lora_layers": 4}, "scale is null"),
    "no object": ({"parameters": [1]}, "scale is null"),
    "no scale": ({"parameters": {"rank": 8}}, "scale is null"),
    "text": ({"parameters": {"scale": "20"}}, 'scale is "20"'),
    "true": ({"parameters": {"scale": True}}, "scale is true"),
    "not finite": ({"parameters": {"scale": float("nan")}}, "scale is NaN"),
    "infinite": ({"parameters": {"scale": float("inf")}}, "scale is Infinity"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_refused_configurations(tmp_path: Path, refused: Refused, case: str) -> None:
    fields, expected = CONFIGS[case]
    (problem,) = refused(save(tmp_path, pair(Q, values(5, 3), values(3, 7)), **fields))
    assert expected in problem


TENSORS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "DoRA": ({**pair(Q, values(5, 3), values(3, 7)), f"{Q}.m": values(7)}, "DoRA"),
    "quantized": ({**pair(Q, values(5, 3), values(3, 7)), f"{Q}.lora_a_scales": values(7)}, "quantized"),
    "another": ({**pair(Q, values(5, 3), values(3, 7)), f"{Q}.weight": values(7)}, "belongs to no LoRA pair"),
    "no a": ({f"{Q}.lora_b": values(3, 7)}, "lora_a is missing"),
    "no b": ({f"{Q}.lora_a": values(5, 3)}, "lora_b is missing"),
    "ranks": (pair(Q, values(5, 3), values(4, 7)), "do not belong together"),
    "experts": (pair(Q, values(4, 3, 5), values(5, 7, 3)), "do not belong together"),
    "too many experts": (pair(Q, values(5000, 1, 1), values(5000, 1, 1)), "5000 experts"),
    "vector": (pair(Q, values(5), values(3, 7)), "do not belong together"),
    "empty": (pair(Q, values(5, 0), values(0, 7)), "is empty"),
    "whole numbers": (pair(Q, values(5, 3).astype(np.int32), values(3, 7)), "its values are I32"),
    "nothing": ({}, "no LoRA factors"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_refused_tensors(tmp_path: Path, refused: Refused, case: str) -> None:
    tensors, expected = TENSORS[case]
    problems = refused(save(tmp_path, tensors))
    assert expected in problems[0]
