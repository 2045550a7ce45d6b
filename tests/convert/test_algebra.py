"""For every layout rule: converting the factors is the same as converting the weight that they change.

The weights' layouts are those of support/weight_layouts.py, written from llama.cpp's converters without index vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.assemble import Target, assembled, targets_of
from edgelora_convert.layout.architectures import ARCHITECTURES, PLAIN
from edgelora_convert.layout.resolve import Resolver
from edgelora_convert.problems import Problems
from edgelora_convert.update import Computed, Update
from support.layout_bases import fused, taken_apart, write_layout_base
from support.weight_layouts import LAYOUTS

from edgelora.gguf.facts import BaseFacts, short_target
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from support.rearrangements import Dims
    from support.weight_kinds import Weight

RANK = 3

NEWER_THAN_THE_NAME_MAP = {"nanbeige", "mellum", "granite_swa"}
"""Architectures that the gguf package does not know yet; converting for them is refused."""

FAMILIES = {name: family for name, family in LAYOUTS.items() if name.split("/")[0] not in NEWER_THAN_THE_NAME_MAP}
FAMILIES |= dict.fromkeys(("glm-dsa", "mistral4"), LAYOUTS["deepseek2"])  # its class converts these, too

Tensors = dict[str, np.ndarray]


def test_every_architecture_of_the_table_is_checked() -> None:
    untested = ARCHITECTURES.keys() - {name.split("/")[0] for name in FAMILIES}
    # of these only the names are llama.cpp's; the matrices stay as they are, or everything is refused
    assert untested == {
        *("falcon-h1", "gemma3n", "minicpm3", "plm"),
    }


def test_an_architecture_stands_in_one_place() -> None:
    rules = {arch for arch, found in ARCHITECTURES.items() if found}
    assert not PLAIN & rules


@dataclass(frozen=True)
class Trained:
    """One weight in training, its change, and the updates that express it."""

    weight: Weight
    before: np.ndarray
    change: np.ndarray
    updates: list[Update]


def trained(module: str, weight: Weight, dims: Dims, rng: np.random.Generator) -> Trained:
    """A random weight and a random low-rank change of it; of a stack, one for each expert."""
    shape = weight.shape(dims)
    turned = weight.conv1d or weight.is_transposed
    n_out, n_in = shape[-2:][:: -1 if turned else 1]
    n_stack = shape[0] if len(shape) == 3 else 1
    updates, changes = [], []
    for number in range(n_stack):
        a, b = rng.standard_normal((RANK, n_in), np.float32), rng.standard_normal((n_out, RANK), np.float32)
        scale = 0.5 + number
        expert = number if len(shape) == 3 else None
        updates.append(Update(module, constant(a), constant(b), scale, expert=expert))
        changes.append((scale * (b @ a)).T if turned else scale * (b @ a))
    change = np.stack(changes) if len(shape) == 3 else changes[0]
    return Trained(weight, rng.standard_normal(shape, np.float32), change, updates)


def constant(values: np.ndarray) -> Computed:
    return Computed(values.shape, lambda: values)


def everything(family: str, rng: np.random.Generator) -> Iterator[Trained]:
    """Every weight of a family in layer 0; of experts that have modules of their own, each."""
    made = FAMILIES[family]
    for path, weight in made.weights.items():
        numbers = range(made.dims.experts) if "{}" in path else [0]
        for number in numbers:
            yield trained(made.prefix.format(0) + path.format(number), weight, made.dims, rng)


def laid_out(family: str, all_trained: list[Trained], values: Callable[[Trained], np.ndarray]) -> Tensors:
    """The tensors of a GGUF by short name; single experts become stacks."""
    single: dict[str, list[np.ndarray]] = {}
    made = FAMILIES[family]
    for one in all_trained:
        for name, tensor in one.weight(made.dims, values(one)).items():
            single.setdefault(name, []).append(tensor)
    return {name: found[0] if len(found) == 1 else np.stack(found) for name, found in single.items()}


def targets(base: Path, updates: list[Update]) -> list[Target]:
    header = read_header(base)
    problems = Problems("test")
    resolver = Resolver(header, BaseFacts.of(header), problems)
    pieces = [piece for update in updates for piece in resolver.pieces(update, "transformers")]
    assert problems.lines() == []
    return targets_of(pieces)


def scaled(update: Update) -> tuple[np.ndarray, np.ndarray]:
    return update.a.load(), update.b.load() * np.float32(update.scale)


STORAGES: Mapping[str, Callable[[Tensors, Dims], Tensors]] = {
    "as converted": lambda tensors, dims: tensors,
    "fused": lambda tensors, dims: fused(tensors),
    "taken apart": taken_apart,
}


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_converted_weight_plus_converted_change(tmp_path: Path, family: str, storage: str) -> None:
    """T(W + s·B·A) == T(W) + B'·A' for all matrices of a layer, T being what llama.cpp's converter does to a weight."""
    if family == "llama4":
        pytest.skip("the same layout as llama4/older PEFT; how PEFT stores it is the reader's matter")
    arch = family.split("/")[0]
    dims = FAMILIES[family].dims
    all_trained = list(everything(family, np.random.default_rng(5)))

    def stored(values: Callable[[Trained], np.ndarray]) -> Tensors:
        return STORAGES[storage](laid_out(family, all_trained, values), dims)

    before, after = stored(lambda one: one.before), stored(lambda one: one.before + one.change)
    base = write_layout_base(tmp_path / "base.gguf", arch, dims, before, mrope=family == "glm4/mrope")
    reached = {}
    for target in targets(base, [update for one in all_trained for update in one.updates]):
        a, b = assembled(target, scaled)
        assert a.shape[-2] == b.shape[-1] == target.rank
        reached[short_target(target.name)] = b @ a
    assert reached.keys() == before.keys()
    for name, change in reached.items():
        np.testing.assert_allclose(after[name], before[name] + change, rtol=0, atol=2e-4, err_msg=name)
        assert np.abs(change).max() > 0.1


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_names_of_a_gguf_mean_its_tensors(tmp_path: Path, family: str, storage: str) -> None:
    """A GGUF adapter is for exactly the tensors that it names, as they are."""
    arch, dims = family.split("/")[0], FAMILIES[family].dims
    all_trained = list(everything(family, np.random.default_rng(5)))
    before = STORAGES[storage](laid_out(family, all_trained, lambda one: one.before), dims)
    header = read_header(write_layout_base(tmp_path / "base.gguf", arch, dims, before, mrope=False))
    problems = Problems("test")
    resolver = Resolver(header, BaseFacts.of(header), problems)
    for name, tensor in before.items():
        n_out, n_in = tensor.shape[-2:]
        expert = 0 if tensor.ndim == 3 else None
        a, b = constant(np.ones((1, n_in), np.float32)), constant(np.ones((n_out, 1), np.float32))
        (piece,) = resolver.pieces(Update(f"blk.0.{name}.weight", a, b, 1.0, expert=expert), "gguf")
        assert (piece.tensor.name, piece.first, piece.rows, piece.columns, piece.transposed) == (
            f"blk.0.{name}.weight",
            0,
            None,
            None,
            False,
        )
    assert problems.lines() == []


@pytest.mark.parametrize("family", ["llama/mixtral", "qwen2moe", "phi3", "llama", "granitemoe"])
def test_what_was_not_trained_does_not_change(tmp_path: Path, family: str) -> None:
    """Single modules alone: missing experts, and missing parts of a fused matrix, stay as they are."""
    arch, dims = family.split("/")[0], FAMILIES[family].dims
    all_trained = list(everything(family, np.random.default_rng(6)))
    before = fused(laid_out(family, all_trained, lambda one: one.before))
    base = write_layout_base(tmp_path / "base.gguf", arch, dims, before, mrope=False)
    for chosen in all_trained:
        update = chosen.updates[-1]
        share = chosen.change if len(chosen.updates) == 1 else np.zeros_like(chosen.change)
        if len(chosen.updates) > 1:
            share[-1] = chosen.change[-1]
        kept = {id(chosen): chosen.before + share}
        after = fused(laid_out(family, all_trained, lambda one, kept=kept: kept.get(id(one), one.before)))
        for target in targets(base, [update]):
            a, b = assembled(target, scaled)
            name = short_target(target.name)
            np.testing.assert_allclose(after[name], before[name] + b @ a, rtol=0, atol=2e-4, err_msg=update.module)
            assert not np.array_equal(after[name], before[name])
