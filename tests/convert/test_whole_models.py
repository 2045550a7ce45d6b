"""For every layout rule: the matrices of a whole model become the tensors of the base that was made of them.

The weights' layouts are those of support/weight_layouts.py, written from llama.cpp's converters without index vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.layout.resolve import Resolver
from edgelora_convert.layout.whole_model import WholeModel
from edgelora_convert.layout.wholes import MatrixRows
from edgelora_convert.problems import Problems
from edgelora_convert.storage.tensor_file import open_tensors
from edgelora_convert.update import Whole
from safetensors.numpy import save_file
from support.layout_bases import fused, taken_apart, write_layout_base
from support.weight_layouts import LAYOUTS

from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.rearrangements import Dims

Tensors = dict[str, np.ndarray]

NEWER_THAN_THE_NAME_MAP = {"nanbeige", "mellum", "granite_swa"}
FAMILIES = {name: family for name, family in LAYOUTS.items() if name.split("/")[0] not in NEWER_THAN_THE_NAME_MAP}
STORAGES: tuple[Callable[[Tensors, Dims], Tensors], ...] = (
    lambda tensors, dims: tensors,
    lambda tensors, dims: fused(tensors),
    taken_apart,
)
"""As converted, fused, taken apart."""


def model_and_tensors(family: str, rng: np.random.Generator) -> tuple[Tensors, Tensors]:
    """Random weights of layer 0 by their names in Transformers, and the tensors of a GGUF by short name."""
    made = FAMILIES[family]
    model: Tensors = {}
    placed: dict[str, list[np.ndarray]] = {}
    for path, weight in made.weights.items():
        for number in range(made.dims.experts) if "{}" in path else [0]:
            values = rng.standard_normal(weight.shape(made.dims), np.float32)
            suffix = "" if len(values.shape) == 3 and "experts" in path else ".weight"
            model[made.prefix.format(0) + path.format(number) + suffix] = values
            for name, tensor in weight(made.dims, values).items():
                placed.setdefault(name, []).append(tensor)
    return model, {name: found[0] if len(found) == 1 else np.stack(found) for name, found in placed.items()}


def found_in(base: Path, model: Path, wanted: set[str]) -> tuple[dict[str, list[MatrixRows]], Problems]:
    header = read_header(base)
    facts, problems = BaseFacts.of(header), Problems("test")
    whole = WholeModel(Resolver(header, facts, problems), facts.arch, problems)
    return whole.matrices(open_tensors(model, problems), wanted), problems


def filled(shape: tuple[int, ...], parts: list[MatrixRows]) -> np.ndarray:
    """A tensor in numpy order; every row of it must be given once. Rows are loaded in two runs."""
    values = np.full(shape, np.nan, np.float32)
    for part in parts:
        matrix = values if part.stack is None else values[part.stack]
        for start, end in ((0, part.n_rows // 2), (part.n_rows // 2, part.n_rows)):
            rows = matrix[part.first + start : part.first + end]
            assert np.isnan(rows).all()
            if start < end:
                rows[...] = part.load(start, end - start)
    return values


@pytest.mark.parametrize("family", FAMILIES)
def test_every_matrix_is_found_where_it_belongs(tmp_path: Path, family: str) -> None:
    made = FAMILIES[family]
    arch, _, variant = family.partition("/")
    model, converted = model_and_tensors(family, np.random.default_rng(len(family)))
    save_file({name: np.ascontiguousarray(values) for name, values in model.items()}, tmp_path / "model.safetensors")
    for stored in STORAGES:
        tensors = stored(converted, made.dims)
        base = write_layout_base(tmp_path / "base.gguf", arch, made.dims, tensors, mrope=variant == "mrope")
        expected = {f"blk.0.{name}.weight": values for name, values in tensors.items()}
        found, problems = found_in(base, tmp_path / "model.safetensors", set(expected))
        assert problems.lines() == []
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(filled(values.shape, found[name]), values, err_msg=name)


def test_only_what_is_wanted_is_looked_at(tmp_path: Path) -> None:
    model, tensors = model_and_tensors("llama", np.random.default_rng(0))
    base = write_layout_base(tmp_path / "base.gguf", "llama", FAMILIES["llama"].dims, tensors, mrope=False)
    model["model.layers.0.mlp.up_proj.weight"] = np.zeros((3, 3), np.float32)
    save_file(model, tmp_path / "model.safetensors")
    found, problems = found_in(base, tmp_path / "model.safetensors", {"blk.0.ffn_down.weight"})
    assert (list(found), problems.lines()) == (["blk.0.ffn_down.weight"], [])
    found, problems = found_in(base, tmp_path / "model.safetensors", {"blk.0.ffn_up.weight"})
    assert not found
    assert "ffn_up.weight of the base has 40 and 28" in problems.lines()[0]


def test_other_layers_of_the_same_names_are_no_part_of_it(tmp_path: Path) -> None:
    family = FAMILIES["qwen35moe"]
    model, tensors = model_and_tensors("qwen35moe", np.random.default_rng(0))
    base = write_layout_base(tmp_path / "base.gguf", "qwen35moe", family.dims, tensors, mrope=False)
    experts = model["model.layers.0.mlp.experts.down_proj"]
    others = ("mtp.layers.0", "model.mtp_block.0", "model.visual.blocks.0")
    save_file(model | {f"{root}.mlp.experts.down_proj": experts + 1 for root in others}, tmp_path / "m.safetensors")
    name = "blk.0.ffn_down_exps.weight"
    found, problems = found_in(base, tmp_path / "m.safetensors", {name})
    assert problems.lines() == []
    np.testing.assert_array_equal(filled(experts.shape, found[name]), experts)


@pytest.mark.parametrize("n_experts", [0, 4, 6])
def test_experts_that_the_base_does_not_have(tmp_path: Path, n_experts: int) -> None:
    model, tensors = model_and_tensors("qwen3moe/packed", np.random.default_rng(0))
    dims = FAMILIES["qwen3moe/packed"].dims
    base = write_layout_base(tmp_path / "base.gguf", "qwen3moe", dims, tensors, mrope=False)
    model["model.layers.0.mlp.experts.down_proj"] = np.zeros((n_experts, dims.hidden, dims.expert_ff), np.float32)
    save_file(model, tmp_path / "m.safetensors")
    found, problems = found_in(base, tmp_path / "m.safetensors", {"blk.0.ffn_down_exps.weight"})
    assert not found
    assert [f"is [{n_experts}, 40, 12]" in line for line in problems.lines()] == [True] * bool(n_experts)


def test_a_layer_that_was_trained_whole_is_laid_out_like_one_of_a_whole_model(tmp_path: Path) -> None:
    """Of GPT-2, whose square weights would fit the other way round too."""
    model, tensors = model_and_tensors("gpt2", np.random.default_rng(1))
    header = read_header(write_layout_base(tmp_path / "b.gguf", "gpt2", FAMILIES["gpt2"].dims, tensors, mrope=False))
    save_file(model, tmp_path / "model.safetensors")
    module = "transformer.h.0.attn.c_proj"
    values = open_tensors(tmp_path / "model.safetensors", Problems("test"))[f"{module}.weight"]
    resolver = Resolver(header, BaseFacts.of(header), Problems("test"))
    (rows,) = resolver.parameters(Whole(module, "weight", values), "transformers")
    expected = tensors["attn_output"]
    assert expected.shape == expected.shape[::-1]
    assert isinstance(rows, MatrixRows)
    np.testing.assert_array_equal(filled(expected.shape, [rows]), expected)
