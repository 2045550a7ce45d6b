"""Adapters of experts in the forms that go beyond what PEFT writes today for an ordinary model.

Older PEFT saved single experts (before Transformers 5 put all of a layer into one parameter), and took the axes of such
a parameter otherwise. Nothing in the environment makes these folders any more, so they are written by hand, and the
expected logits are those of the Transformers model with every change added to its weights.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.convert import convert
from safetensors.numpy import load_file, save_file
from support.exports import Pair, export, model_of
from support.families import balanced_experts, experts
from support.logits import native_rows, relative_error
from support.peft_models import adapted, peft_rows

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


def square(pair: Pair) -> Pair:
    """The same with experts as wide as the model, so that no shape tells rows from columns."""
    width = pair.dims.hidden
    widths = {name: width for name in ("feed_forward_length", "expert_feed_forward_length") if name in pair.metadata}
    dims = dataclasses.replace(pair.dims, ff=width, expert_ff=width, shared_ff=width)
    config = pair.config | {"intermediate_size": width}
    return dataclasses.replace(pair, config=config, metadata=pair.metadata | widths, dims=dims)


@pytest.mark.parametrize("name", ["mixtral", "gpt-oss", "llama4"])
def test_adapters_of_square_experts_answer_as_in_peft(tmp_path: Path, name: str) -> None:
    pair = square(PAIRS[name])
    model = model_of(pair)
    base = export(tmp_path / "base.gguf", pair, model)
    plain = peft_rows(model, PROMPTS)
    config = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "target_parameters": list(pair.parameters)}
    expected = peft_rows(adapted(model, tmp_path / "peft", **config), PROMPTS)
    assert relative_error(plain, expected) > 1e-2
    convert(tmp_path / "peft", base, tmp_path / "adapter.gguf", "f32")
    assert relative_error(native_rows(base, PROMPTS, tmp_path / "adapter.gguf"), expected) < pair.tolerance


def write_older_parameters(folder: Path, model: Any, path: str) -> None:
    """As PEFT 0.18 saved them: [experts, x, y] taken for [experts, n_in, n_out], so A is over x and B over y."""
    import torch

    rng, rank, tensors = np.random.default_rng(8), 3, {}
    for layer in range(2):
        module = f"model.layers.{layer}.{path}"
        for name, depth in (("gate_up_proj", ".base_layer"), ("down_proj", "")):
            parameter = getattr(model.get_submodule(module), name)
            count, x, y = parameter.shape
            a = rng.standard_normal((count * rank, x), np.float32) * 0.3
            b = rng.standard_normal((y, rank * count), np.float32) * 0.3
            tensors |= {f"base_model.model.{module}{depth}.lora_A.weight": a}
            tensors |= {f"base_model.model.{module}{depth}.lora_B.weight": b}
            delta = np.einsum("yre,erx->exy", b.reshape(y, rank, count), a.reshape(count, rank, x))
            with torch.no_grad():
                parameter += torch.from_numpy(np.ascontiguousarray(delta * (6 / rank), np.float32))
    config = {"peft_type": "LORA", "peft_version": "0.18.1", "r": rank, "lora_alpha": 6, "bias": "none"}
    names = {"target_modules": [], "target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(config | names))
    save_file(tensors, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("name", "path"),
    [("mixtral", "mlp.experts"), ("gpt-oss", "mlp.experts"), ("granitemoe/packed", "block_sparse_moe.experts")],
)
def test_parameters_saved_by_an_older_peft_answer_as_the_merged_model(tmp_path: Path, name: str, path: str) -> None:
    pair = PAIRS[name]
    model = model_of(pair)
    base = export(tmp_path / "base.gguf", pair, model)
    plain = peft_rows(model, PROMPTS)
    write_older_parameters(tmp_path / "peft", model, path)
    expected = peft_rows(model, PROMPTS)
    assert relative_error(plain, expected) > 1e-2
    convert(tmp_path / "peft", base, tmp_path / "adapter.gguf", "f32")
    assert relative_error(native_rows(base, PROMPTS, tmp_path / "adapter.gguf"), expected) < pair.tolerance


def test_granite_moe_under_its_former_names_answers_as_in_peft(tmp_path: Path) -> None:
    pair = PAIRS["granitemoe/packed"]
    model = model_of(pair)
    base = export(tmp_path / "base.gguf", pair, model)
    config = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "target_parameters": list(pair.parameters)}
    expected = peft_rows(adapted(model, tmp_path / "peft", **config), PROMPTS)
    rename(tmp_path / "peft", {"experts.base_layer": "input_linear", "moe.experts": "moe.output_linear"})
    convert(tmp_path / "peft", base, tmp_path / "adapter.gguf", "f32")
    assert relative_error(native_rows(base, PROMPTS, tmp_path / "adapter.gguf"), expected) < pair.tolerance


def rename(folder: Path, names: dict[str, str]) -> None:
    """Modules with one parameter each, as Transformers 4 had them, instead of one module with two."""
    file, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    tensors = load_file(file)
    for now, then in names.items():
        tensors = {name.replace(now, then): values for name, values in tensors.items()}
    save_file(tensors, file)
    fields = json.loads(config.read_text()) | {"target_parameters": ["input_linear.weight", "output_linear.weight"]}
    config.write_text(json.dumps(fields))
