"""What calibration sees is what goes into the weights: a forward pass in numpy sees the same."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.merging import merged_by_hand
from support.seen_inputs import seen_inputs
from support.tiny_llama import write_tiny_llama

from edgelora.errors import EngineError
from edgelora.gguf.reader import read_header
from edgelora.merge.calibrate import activations
from edgelora.merge.forward import AppliedAdapter
from edgelora.merge.input_statistics import Products
from edgelora.merge.sequences import sample
from edgelora.native.model import Model

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = 512


def test_inputs_are_those_of_a_forward_pass_in_numpy(f32_base: Path, tmp_path: Path) -> None:
    with Model(f32_base) as model:
        seen = seen_inputs(sample(model, "calibration", TOKENS).sequences)
    names = read_header(f32_base).tensors
    diagonal = activations(f32_base, [], names, tmp_path, n_tokens=TOKENS)
    full = activations(f32_base, [], names, tmp_path, kind="full", n_tokens=TOKENS)
    assert diagonal.keys() == full.keys() == seen.keys()  # all but the norms
    for name, inputs in seen.items():
        product = inputs.T @ inputs
        assert np.linalg.norm(full[name] - product) < 1e-4 * np.linalg.norm(product), name
        assert diagonal[name] == pytest.approx(np.diag(product), rel=1e-3)


def test_the_adapter_is_applied(f32_base: Path, demo_base: Path, tmp_path: Path) -> None:
    legal = demo_base.parent / "adapters" / "legal.gguf"
    merged = merged_by_hand(tmp_path / "merged.gguf", f32_base, legal)
    name = "blk.5.ffn_down.weight"
    under, baked, bare = (
        activations(path, members, [name], tmp_path, n_tokens=256)[name]
        for path, members in ((f32_base, [AppliedAdapter(legal)]), (merged, []), (f32_base, []))
    )
    assert np.linalg.norm(under - baked) < 1e-3 * np.linalg.norm(baked)
    assert np.linalg.norm(under - bare) > 0.05 * np.linalg.norm(bare)


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "0.npy", np.ones((8, 64), np.float32))
    found = Products({"weight": tmp_path / "0.npy"})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4 * 64 * 64 - 1))
    with pytest.raises(EngineError, match=r"needs 0 MiB more disk in .*, and 0 are free"):
        found["weight"]
    assert [file.name for file in tmp_path.iterdir()] == ["0.npy"]
    monkeypatch.undo()
    assert (found["weight"] == 8).all()


def test_weights_with_one_input_share_a_file_and_a_product(tmp_path: Path) -> None:
    base = write_tiny_llama(tmp_path / "tiny.gguf")
    found = activations(base, [], read_header(base).tensors, tmp_path, kind="full", n_tokens=256)
    q, k, v = (found[f"blk.0.attn_{name}.weight"] for name in "qkv")
    assert q is k is v
    assert found["blk.0.ffn_up.weight"] is not q
    inputs = [file for file in tmp_path.glob("inputs-*/*.npy") if "product" not in file.name]
    assert len(inputs) == 9  # four a layer, and that of the output
    assert len(found) == 15
    assert "blk.0.attn_norm.weight" not in found


@pytest.mark.parametrize("used", [2, 4])
def test_each_expert_has_its_own_tokens(tmp_path: Path, used: int) -> None:
    """Every token goes to ``used`` experts with the input that the router saw."""
    base = write_tiny_llama(tmp_path / "experts.gguf", experts=4, used=used)
    found = activations(base, [], read_header(base).tensors, tmp_path, n_tokens=256)
    for layer in range(2):
        router, gate = found[f"blk.{layer}.ffn_gate_inp.weight"], found[f"blk.{layer}.ffn_gate_exps.weight"]
        assert gate.shape == (4, 64)
        assert gate.sum(0) == pytest.approx(used * router, rel=1e-4)
        assert np.ptp(gate, axis=0).max() == pytest.approx(0, abs=1e-4) if used == 4 else np.ptp(gate, axis=0).min() > 0
        assert found[f"blk.{layer}.ffn_down_exps.weight"].shape == (4, 96)


def test_products_of_experts_are_left_out(tmp_path: Path) -> None:
    base = write_tiny_llama(tmp_path / "experts.gguf", experts=4, used=2)
    found = activations(base, [], read_header(base).tensors, tmp_path, kind="full", n_tokens=256)
    assert "blk.0.attn_q.weight" in found
    assert not [name for name in found if "_exps" in name]
