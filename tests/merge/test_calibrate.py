"""What calibration sees is what goes into the weights: a forward pass in numpy sees the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.merging import merged_by_hand
from support.seen_inputs import seen_inputs
from support.tiny_llama import write_tiny_llama

from edgelora.errors import MemoryLimitError
from edgelora.gguf.reader import read_header
from edgelora.merge.calibrate import activations
from edgelora.merge.forward import AppliedAdapter
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


def test_a_small_budget_reads_the_text_more_often(tmp_path: Path) -> None:
    base = write_tiny_llama(tmp_path / "tiny.gguf")
    names = read_header(base).tensors
    stages: list[str] = []

    def gathered(budget: int) -> dict[str, np.ndarray]:
        stages.clear()
        return activations(
            base,
            [],
            names,
            tmp_path,
            kind="full",
            n_tokens=256,
            budget=budget,
            report=lambda progress: stages.append(progress.stage),
        )

    widest = 4 * (256 * 96 + 96 * 96)  # inputs and product of ffn_down
    small, many = gathered(widest), stages.count("reading for calibration")
    large, once = gathered(2**24), stages.count("reading for calibration")
    assert (once, many) == (1, 9)  # four groups a layer, and the output
    assert small.keys() == large.keys()
    assert all(np.array_equal(small[name], large[name]) for name in large)
    with pytest.raises(MemoryLimitError, match=r"inputs of blk\.0\.ffn_down\.weight"):
        gathered(widest - 1)


def test_weights_with_one_input_share_an_array(tmp_path: Path) -> None:
    base = write_tiny_llama(tmp_path / "tiny.gguf")
    found = activations(base, [], read_header(base).tensors, tmp_path, kind="full", n_tokens=256)
    files = {name: found[f"blk.0.{name}.weight"].filename for name in ("attn_q", "attn_k", "attn_v", "ffn_up")}  # type: ignore[attr-defined]
    assert files["attn_q"] == files["attn_k"] == files["attn_v"] != files["ffn_up"]


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
