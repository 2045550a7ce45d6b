"""Adapters of single experts, as saved before Transformers 5 put all experts of a layer into one parameter.

Nothing in the environment makes such folders any more, so they are written by hand, and the expected logits are those
of the Transformers model with every change added to its weights.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.convert import convert
from safetensors.numpy import save_file
from support.exports import Pair, export, model_of
from support.families import balanced_experts, experts
from support.logits import native_rows, relative_error
from support.peft_models import peft_rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.train, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]

PROMPTS = ([1, 2, 3], [7, 8, 9, 10, 11, 12, 13, 14], [30])
# family: path of the experts then, path of their parameters now, names of gate, up and down then
FORMER = {
    "mixtral": ("block_sparse_moe.experts", "mlp.experts", ("w1", "w3", "w2")),
    "qwen3moe/packed": ("mlp.experts", "mlp.experts", ("gate_proj", "up_proj", "down_proj")),
    "qwen2moe/packed": ("mlp.experts", "mlp.experts", ("gate_proj", "up_proj", "down_proj")),
    "minimax-m2/packed": ("block_sparse_moe.experts", "mlp.experts", ("w1", "w3", "w2")),
}
PAIRS = {str(pair): pair for pair in (*experts.PAIRS, *balanced_experts.PAIRS)}


def change(model: Any, pair: Pair, layer: int, expert: int, part: int, delta: np.ndarray) -> None:
    """Add to the gate (0), up (1) or down (2) weight of one expert."""
    import torch

    mlp = model.get_submodule(f"model.layers.{layer}.{FORMER[str(pair)][1]}")
    n_ff = pair.dims.expert_ff
    weight = mlp.down_proj[expert] if part == 2 else mlp.gate_up_proj[expert, part * n_ff : (part + 1) * n_ff]
    with torch.no_grad():
        weight += torch.from_numpy(delta)


def write_experts(folder: Path, pair: Pair, model: Any, covered: set[tuple[int, int]]) -> None:
    """An adapter of every covered (expert, part), its ranks differing by part; the model gets the same changes."""
    rng = np.random.default_rng(7)
    path, _, names = FORMER[str(pair)]
    hidden, n_ff = pair.dims.hidden, pair.dims.expert_ff
    tensors = {}
    for layer in range(2):
        for expert, part in sorted(covered):
            rank, (n_out, n_in) = part + 3, (hidden, n_ff) if part == 2 else (n_ff, hidden)
            a = rng.standard_normal((rank, n_in), np.float32) * 0.3
            b = rng.standard_normal((n_out, rank), np.float32) * 0.3
            module = f"base_model.model.model.layers.{layer}.{path}.{expert}.{names[part]}"
            tensors |= {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}
            change(model, pair, layer, expert, part, (8 / rank) * (b @ a))
    ranks = {name: part + 3 for part, name in enumerate(names)}
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 8, "rank_pattern": ranks, "bias": "none"}
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")


@pytest.mark.parametrize("name", FORMER)
@pytest.mark.parametrize("covered", ["all", "some"])
def test_adapters_of_single_experts_answer_as_the_merged_model(tmp_path: Path, name: str, covered: str) -> None:
    pair = PAIRS[name]
    model = model_of(pair)
    base = export(tmp_path / "base.gguf", pair, model)
    plain = peft_rows(model, PROMPTS)
    some = {(0, 0), (2, 0), (1, 1), (2, 2), (3, 2)}  # not every expert, nor every weight of one
    everything = {(expert, part) for expert in range(pair.dims.experts) for part in range(3)}
    write_experts(tmp_path / "peft", pair, model, everything if covered == "all" else some)
    expected = peft_rows(model, PROMPTS)
    assert relative_error(plain, expected) > 1e-2
    convert(tmp_path / "peft", base, tmp_path / "adapter.gguf", "f32")
    assert relative_error(native_rows(base, PROMPTS, tmp_path / "adapter.gguf"), expected) < pair.tolerance
