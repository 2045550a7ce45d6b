"""Several sources in one adapter, other scales, and parts of an adapter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgelora_convert.convert import convert
from edgelora_convert.options import Options
from support.peft_folders import PeftSource, Shape, peft_source, write_base

from edgelora.errors import ConversionError
from edgelora.gguf.data import tensor_data
from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.reader import read_header

SHAPE = Shape()
ATTENTION = ("q_proj", "v_proj")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base.gguf", SHAPE)


def changes(adapter: Path) -> dict[str, np.ndarray]:
    """s·B·A of every tensor, as llama.cpp computes it."""
    header = read_header(adapter)
    scales = AdapterFacts.of(header).scales

    def factor(name: str) -> np.ndarray:
        return tensor_data(header, header.tensors[name]).astype(np.float32)

    return {name: scale * (factor(f"{name}.lora_b") @ factor(f"{name}.lora_a")) for name, scale in scales.items()}


def converted(source: PeftSource, base: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    convert(source.save(folder / "peft"), base, folder / "adapter.gguf", "f32")
    return folder / "adapter.gguf"


@pytest.mark.parametrize("form", ["peft", "adapter.gguf"])
def test_several_sources_add_up_exactly(base: Path, tmp_path: Path, form: str) -> None:
    first = converted(peft_source(SHAPE, ATTENTION, rank=8, seed=1), base, tmp_path / "first")
    second = converted(
        peft_source(SHAPE, ("q_proj", "down_proj"), rank=3, seed=2, use_rslora=True), base, tmp_path / "second"
    )
    sources = [first.parent / form, second.parent / form]
    report = convert(sources, base, tmp_path / "both.gguf", "f32", options=Options(scales=(0.5, -2.0)))
    ones, others, both = changes(first), changes(second), changes(tmp_path / "both.gguf")
    assert both.keys() == ones.keys() | others.keys()
    for name, change in both.items():
        zero = np.zeros_like(change)
        np.testing.assert_allclose(
            change, 0.5 * ones.get(name, zero) - 2 * others.get(name, zero), rtol=1e-5, atol=1e-6
        )
    assert {target.target: target.ranks for target in report.targets} == {
        "attn_q": (11,),
        "attn_v": (8,),
        "ffn_down": (3,),
    }


def test_a_gguf_adapter_converts_to_itself(base: Path, tmp_path: Path) -> None:
    first = converted(peft_source(SHAPE, ATTENTION), base, tmp_path / "first")
    convert(first, base, tmp_path / "again.gguf", "f32")
    before, after = read_header(first), read_header(tmp_path / "again.gguf")
    assert before.tensors.keys() == after.tensors.keys()
    assert before.metadata["adapter.lora.alpha"] == after.metadata["adapter.lora.alpha"]
    for name, info in before.tensors.items():
        np.testing.assert_array_equal(tensor_data(before, info), tensor_data(after, after.tensors[name]))


def test_other_scales(base: Path, tmp_path: Path) -> None:
    first = converted(peft_source(SHAPE, ATTENTION), base, tmp_path / "first")
    convert(first, base, tmp_path / "weaker.gguf", "f32", options=Options(scales=(0.3,)))
    weaker = changes(tmp_path / "weaker.gguf")
    for name, change in changes(first).items():
        np.testing.assert_allclose(weaker[name], 0.3 * change, rtol=1e-5, atol=1e-7)


def test_parts(base: Path, tmp_path: Path) -> None:
    first = converted(peft_source(SHAPE, ATTENTION), base, tmp_path / "first")
    part = Options(layers=frozenset({1}), modules=frozenset({"attn_v"}))
    convert(first, base, tmp_path / "part.gguf", "f32", options=part)
    kept = changes(tmp_path / "part.gguf")
    assert list(kept) == ["blk.1.attn_v.weight"]
    np.testing.assert_array_equal(kept["blk.1.attn_v.weight"], changes(first)["blk.1.attn_v.weight"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (Options(layers=frozenset({5})), "nothing of it is in what was chosen"),
        (Options(modules=frozenset({"attn_q", "ffn_up"})), "does not change ffn_up; it changes attn_q, attn_v"),
        (
            Options(layers=frozenset({0}), modules=frozenset({"ffn_gate"})),
            "nothing of it is in what was chosen",
        ),
    ],
)
def test_what_is_not_there_cannot_be_chosen(base: Path, tmp_path: Path, options: Options, reason: str) -> None:
    source = peft_source(SHAPE, ATTENTION)
    source.add("model.layers.1.mlp.gate_proj", 8, np.random.default_rng(4))
    if "ffn_up" in reason:
        source = peft_source(SHAPE, ATTENTION)
    with pytest.raises(ConversionError, match=reason):
        convert(source.save(tmp_path / "peft"), base, tmp_path / "out.gguf", options=options)
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("scale", [1e38, float("nan"), float("-inf")])
def test_scales_that_make_no_sense(base: Path, tmp_path: Path, scale: float) -> None:
    folder = peft_source(SHAPE, ATTENTION).save(tmp_path / "peft")
    with pytest.raises(ConversionError, match=r"the scale (1e\+38|nan|-inf) is not between"):
        convert(folder, base, tmp_path / "out.gguf", options=Options(scales=(scale,)))


def test_scale_0_leaves_nothing(base: Path, tmp_path: Path) -> None:
    folder = peft_source(SHAPE, ATTENTION).save(tmp_path / "peft")
    with pytest.raises(ConversionError, match="every scale is 0"):
        convert(folder, base, tmp_path / "out.gguf", options=Options((0.0,), modules=frozenset({"attn_q"})))


def test_an_adapter_for_another_architecture_is_refused(base: Path, tmp_path: Path) -> None:
    first = converted(peft_source(SHAPE, ATTENTION), base, tmp_path / "first")
    other = write_base(tmp_path / "other.gguf", Shape(arch="qwen2"))
    with pytest.raises(ConversionError, match="for the architecture 'llama', the base is 'qwen2'"):
        convert(first, other, tmp_path / "out.gguf")


def test_names_of_the_original_llama_release_have_its_row_order(base: Path, tmp_path: Path) -> None:
    """It keeps rotary pairs side by side, as llama.cpp does."""
    source = peft_source(SHAPE, ())
    for module in ("wq", "wk", "wo"):
        name = {"wq": "q_proj", "wk": "k_proj", "wo": "o_proj"}[module]
        source.add(f"layers.0.attention.{module}", 8, np.random.default_rng(3), *SHAPE.linear(name))
    adapter = converted(source, base, tmp_path / "native")
    a, b = source.factors("layers.0.attention.wq")
    np.testing.assert_allclose(changes(adapter)["blk.0.attn_q.weight"], 2 * (b @ a), rtol=1e-5, atol=1e-6)
