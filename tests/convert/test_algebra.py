"""For every layout rule: converting the factors is the same as converting the weight that they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.convert import convert
from edgelora_convert.layouts import ARCHITECTURES, interleaved_halves
from edgelora_convert.scales import fold_scales
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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


@pytest.mark.parametrize("arch", ARCHITECTURES)
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


@given(heads=st.integers(1, 9), pairs=st.integers(1, 16))
def test_rotary_order_is_a_permutation_within_each_head(heads: int, pairs: int) -> None:
    size = 2 * pairs
    order = interleaved_halves(heads * size, heads, size)
    per_head = order.reshape(heads, size)
    assert (np.sort(per_head) == np.arange(heads * size).reshape(heads, size)).all()
    # neighbours in a GGUF are the partners of a rotation: half a head apart in Transformers
    assert (per_head[:, 1::2] - per_head[:, ::2] == pairs).all()


def test_rotary_order_refuses_sizes_that_do_not_match() -> None:
    for sizes in ((65, 4, 16), (60, 4, 15)):
        with pytest.raises(ValueError, match="do not explain"):
            interleaved_halves(*sizes)


scales = st.floats(0.01, 100).filter(bool)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(modules=st.dictionaries(st.text("abc", min_size=1), st.tuples(scales, st.integers(1, 256)), min_size=1))
def test_folding_keeps_every_scale(modules: dict[str, tuple[float, int]]) -> None:
    ranks = {name: rank for name, (_, rank) in modules.items()}
    alpha, factors = fold_scales({name: scale for name, (scale, _) in modules.items()}, ranks)
    for name, (scale, rank) in modules.items():
        assert alpha / rank * factors[name] == pytest.approx(scale, rel=1e-6)


@pytest.mark.parametrize("rslora", [False, True])
def test_uniform_scales_fold_to_exactly_one(rslora: bool) -> None:
    for rank in range(1, 130):
        scale = 16 / (rank**0.5 if rslora else rank)
        _, factors = fold_scales({"a": scale, "b": scale}, {"a": rank, "b": rank})
        assert set(factors.values()) == {1.0}


def test_ranks_that_differ_under_one_alpha_need_no_folding() -> None:
    alpha, factors = fold_scales({"a": 16 / 8, "b": 16 / 12}, {"a": 8, "b": 12})
    assert (alpha, factors) == (16.0, {"a": 1.0, "b": 1.0})
