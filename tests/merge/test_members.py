"""The low-rank change of any rows, against plain algebra on the factors in float64."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest
from gguf.quants import quantize
from support.adapters import write_adapter
from support.peft_folders import Shape, peft_source, write_base

from edgelora.errors import MergeError
from edgelora.gguf.data import tensor_data
from edgelora.gguf.reader import read_header
from edgelora.merge.base import read_base
from edgelora.merge.members import member_changes
from edgelora.merge.options import MergeMember

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgelora.merge.base import Base
    from edgelora.merge.changes import TensorChange

N_IN, N_OUT, N_EXPERT, N_VOCAB, RANK = 64, 24, 3, 40, 32
SHAPES = {
    "blk.0.attn_q.weight": (N_OUT, N_IN),
    "blk.0.ffn_up_exps.weight": (N_EXPERT, N_OUT, N_IN),
    "token_embd.weight": (N_VOCAB, N_IN),
    "output.weight": (N_VOCAB, N_IN),
}
RNG = np.random.default_rng(0)
Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "base.gguf", {name: np.zeros(shape, "f4") for name, shape in SHAPES.items()})


def write(
    path: Path, tensors: dict[str, np.ndarray], alpha: float | None = None, kind: str = "F32", arch: str = "llama"
) -> Path:
    """A base, or with ``alpha`` an adapter."""
    writer = gguf.GGUFWriter(path, arch)
    if alpha is None:
        writer.add_block_count(1)
        writer.add_embedding_length(N_IN)
        writer.add_head_count(4)
        tensors = {"token_embd.weight": np.zeros((N_VOCAB, N_IN)), **tensors}
    else:
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", alpha)
    for name, values in tensors.items():
        stored = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, quantize(values.astype("f4"), stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Random factors as they are stored: those of token_embd are looked up."""
    *stack, n_out, n_in = SHAPES[name]
    a, b = (*stack, RANK, n_in), (*stack, n_out, RANK)
    if name == "token_embd.weight":
        a, b = (n_out, RANK), (n_in, RANK)
    return RNG.standard_normal(a), RNG.standard_normal(b)


def expected(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """B·A as rows through all matrices."""
    product = a @ b.T if name == "token_embd.weight" else b @ a
    return product.reshape(-1, N_IN)


def named(name: str, a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}.lora_a": a, f"{name}.lora_b": b}


def changes_of(base: Base, *members: tuple[Path, float]) -> Mapping[str, TensorChange]:
    return member_changes(base, [MergeMember(path, scale) for path, scale in members]).changes


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("scale", [1.0, -0.7])
def test_a_change_is_the_product_times_scale_and_alpha_over_rank(
    name: str, scale: float, base: Path, tmp_path: Path
) -> None:
    a, b = pair(name)
    adapter = write(tmp_path / "adapter.gguf", named(name, a, b), alpha=8)
    change = changes_of(read_base(base), (adapter, scale))[name]
    values = RNG.standard_normal((len(expected(name, a, b)), N_IN)).astype("f4")
    before = values.copy()
    found = change.apply(0, values)
    np.testing.assert_allclose(found - values, scale * 8 / RANK * expected(name, a, b), rtol=1e-4, atol=1e-5)
    assert np.array_equal(values, before)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("first", "count"), [(0, 1), (5, 7), (20, 11), (17, 7), (23, 1), (3, 21)])
def test_any_rows_change_as_they_do_among_all(name: str, first: int, count: int, base: Path, tmp_path: Path) -> None:
    adapter = write(tmp_path / "adapter.gguf", named(name, *pair(name)), alpha=0)
    opened = read_base(base)
    count = min(count, opened.tensors[name].n_rows - first)
    change = changes_of(opened, (adapter, 1))[name]
    everything = change.apply(0, np.zeros((opened.tensors[name].n_rows, N_IN), "f4"))
    found = change.apply(first, np.ones((count, N_IN), "f4"))
    np.testing.assert_allclose(found, everything[first : first + count] + 1, rtol=1e-5, atol=1e-5)


def test_rows_cross_from_one_expert_to_the_next(base: Path, tmp_path: Path) -> None:
    name = "blk.0.ffn_up_exps.weight"
    a, b = pair(name)
    adapter = write(tmp_path / "adapter.gguf", named(name, a, b), alpha=RANK)
    found = changes_of(read_base(base), (adapter, 1))[name].apply(20, np.zeros((40, N_IN), "f4"))
    np.testing.assert_allclose(found, expected(name, a, b)[20:60], rtol=1e-4, atol=1e-5)


def test_adapters_add_whatever_their_ranks_and_tensors(demo_base: Path, adapters: tuple[Path, Path]) -> None:
    base = read_base(demo_base)
    both = changes_of(base, (adapters[0], 0.5), (adapters[1], 2))
    first, second = (changes_of(base, one) for one in zip(adapters, (0.5, 2), strict=True))
    assert list(both) == [name for name in base.tensors if name in first or name in second]
    assert set(first) & set(second)
    for name, change in both.items():
        zeros = np.zeros((base.tensors[name].n_rows, base.tensors[name].shape[0]), "f4")
        parts = [single[name].apply(0, zeros) for single in (first, second) if name in single]
        assert all(np.abs(part).max() > 1e-3 for part in parts)
        np.testing.assert_allclose(change.apply(0, zeros), sum(parts), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0"])
def test_factors_of_any_type_are_decoded(kind: str, base: Path, tmp_path: Path) -> None:
    name = "blk.0.attn_q.weight"
    adapter = write(tmp_path / "adapter.gguf", named(name, *pair(name)), alpha=RANK, kind=kind)
    header = read_header(adapter)
    a, b = (tensor_data(header, info).astype("f8") for info in header.tensors.values())
    found = changes_of(read_base(base), (adapter, 1))[name].apply(0, np.zeros((N_OUT, N_IN), "f4"))
    np.testing.assert_allclose(found, b @ a, rtol=1e-4, atol=1e-4)


def test_scale_zero_is_no_change(demo_base: Path, adapters: tuple[Path, Path]) -> None:
    assert changes_of(read_base(demo_base), (adapters[0], 0), (adapters[1], -0.0)) == {}


@pytest.mark.parametrize(("name", "scales"), [("blk.0.attn_q", [0.25]), ("blk.0.ffn_up_exps", [4.0, -2.0, 0.5])])
def test_a_stored_value_counts_for_its_scale(name: str, scales: list[float], tmp_path: Path) -> None:
    weight = f"{name}.weight"
    tensors = {weight: np.zeros(SHAPES[weight]), f"{name}.scale": np.array(scales)}
    base = read_base(write(tmp_path / "base.gguf", tensors))
    a, b = pair(weight)
    adapter = write(tmp_path / "adapter.gguf", named(weight, a, b), alpha=RANK)
    rows = expected(weight, a, b)
    found = changes_of(base, (adapter, 1))[weight].apply(0, np.zeros(rows.shape, "f4"))
    np.testing.assert_allclose(found * np.repeat(scales, N_OUT)[:, None], rows, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scales", [[0.0], [np.nan], [1.0, 1.0]])
def test_unusable_stored_scales_are_refused(scales: list[float], tmp_path: Path) -> None:
    name = "blk.0.attn_q.weight"
    tensors = {name: np.zeros(SHAPES[name]), "blk.0.attn_q.scale": np.array(scales)}
    base = read_base(write(tmp_path / "base.gguf", tensors))
    adapter = write(tmp_path / "adapter.gguf", named(name, *pair(name)), alpha=1)
    with pytest.raises(MergeError, match=r"blk\.0\.attn_q\.scale holds no usable scales"):
        changes_of(base, (adapter, 1))


def test_an_adapter_for_another_base_is_refused(base: Path, adapters: tuple[Path, Path]) -> None:
    with pytest.raises(MergeError, match="cannot merge"):
        changes_of(read_base(base), (adapters[0], 0))


def test_an_adapter_for_a_part_of_the_text_is_refused(demo_base: Path, tmp_path: Path) -> None:
    path, kind = tmp_path / "alora.gguf", gguf.GGUFValueType
    tokens = ("adapter.alora.invocation_tokens", [5, 6], kind.ARRAY, kind.UINT32)
    write_adapter(path, demo_base, extra=lambda writer: writer.add_key_value(*tokens))
    with pytest.raises(MergeError, match="works only from its invocation tokens on"):
        changes_of(read_base(demo_base), (path, 1))


def test_a_gguf_adapter_needs_no_known_architecture(tmp_path: Path) -> None:
    name = "blk.0.attn_q.weight"
    base = write(tmp_path / "base.gguf", {name: np.zeros(SHAPES[name])}, arch="arwkv7")
    a, b = pair(name)
    adapter = write(tmp_path / "adapter.gguf", named(name, a, b), alpha=RANK, arch="arwkv7")
    found = changes_of(read_base(base), (adapter, 1))[name].apply(0, np.zeros((N_OUT, N_IN), "f4"))
    np.testing.assert_allclose(found, expected(name, a, b), rtol=1e-4, atol=1e-5)


PEFT_REFUSALS: dict[str, tuple[dict[str, Any], dict[str, np.ndarray], str]] = {
    "PiSSA": ({"init_lora_weights": "pissa"}, {}, "also changed the base weights"),
    "bias that is never loaded": (
        {},
        {f"{Q}.bias": np.zeros(64, "f4")},
        r"self_attn.q_proj \(layer 0\): llama.cpp knows no blk.\*.attn_q.bias in starcoder2 models",
    ),
    "module without a place": ({}, {"score.weight": np.zeros((2, 64), "f4")}, "score.weight: unknown|score: unknown"),
    "whole weight of another size": (
        {},
        {f"{Q}.weight": np.zeros((32, 64), "f4")},
        "trained for 64 and 32 inputs and outputs",
    ),
    "magnitudes of another size": (
        {"use_dora": True},
        {f"{Q}.lora_magnitude_vector": np.zeros(3, "f4")},
        "it has 3 magnitudes for 64 outputs",
    ),
    "no magnitudes": ({"use_dora": True}, {}, "without the magnitudes of model.layers.0.self_attn.q_proj"),
    "announced modules": ({"modules_to_save": ["lm_head"]}, {}, "modules_to_save: lm_head.*the file does not hold"),
}


@pytest.mark.parametrize("case", PEFT_REFUSALS)
def test_what_cannot_be_merged_is_said(case: str, tmp_path: Path) -> None:
    fields, tensors, reason = PEFT_REFUSALS[case]
    base = write_base(tmp_path / "base.gguf", Shape(arch="starcoder2", layers=1))
    source = peft_source(Shape(layers=1), ("q_proj",), **fields)
    source.tensors |= tensors
    with pytest.raises(MergeError, match=reason):
        changes_of(read_base(base), (source.save(tmp_path / "adapter"), 1))


@pytest.mark.parametrize("scale", [1e9, float("nan"), float("inf")])
def test_scales_have_bounds(scale: float, demo_base: Path, adapters: tuple[Path, Path]) -> None:
    with pytest.raises(MergeError, match=r"the scale .* is not between"):
        changes_of(read_base(demo_base), (adapters[0], scale))


def test_another_base_of_the_same_shape_is_said(tmp_path: Path) -> None:
    named = write_base(tmp_path / "base.gguf", Shape(), general__basename="Qwen2.5", general__size_label="7B")
    source = peft_source(Shape(), base_model_name_or_path="Qwen/Qwen2.5-0.5B")
    changes = member_changes(read_base(named), [MergeMember(source.save(tmp_path / "skill"))])
    (warning,) = changes.warnings
    assert "Qwen2.5-0.5B" in warning
