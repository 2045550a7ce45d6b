"""Every update keeps its scale under the one alpha of a file."""

from __future__ import annotations

import numpy as np
import pytest
from edgelora_convert.assemble import Target
from edgelora_convert.layout.placement import Piece
from edgelora_convert.scales import file_alpha, wanted_alpha
from edgelora_convert.update import Computed, Update
from hypothesis import given
from hypothesis import strategies as st

from edgelora.gguf.header import TensorInfo

scales = st.floats(0.01, 100) | st.floats(-100, -0.01)


def target(name: str, updates: list[tuple[float, int]]) -> Target:
    info = TensorInfo(name, (64, 64), 0, 0, 64 * 64 * 4)
    made = [
        Update(name, Computed((rank, 64), lambda: np.empty(0)), Computed((64, rank), lambda: np.empty(0)), scale)
        for scale, rank in updates
    ]
    return Target(info, tuple(Piece(update, info) for update in made))


@given(st.dictionaries(st.text("abc", min_size=1), st.lists(st.tuples(scales, st.integers(1, 99)), min_size=1)))
def test_folding_keeps_every_scale(modules: dict[str, list[tuple[float, int]]]) -> None:
    targets = [target(name, updates) for name, updates in modules.items()]
    alpha = file_alpha(targets)
    for made in targets:
        for update in made.updates:
            folded = wanted_alpha(update.scale, made.rank) / alpha
            assert alpha / made.rank * folded == pytest.approx(update.scale, rel=1e-6)


@pytest.mark.parametrize("rslora", [False, True])
def test_uniform_scales_fold_to_exactly_one(rslora: bool) -> None:
    for rank in range(1, 130):
        scale = 16 / (rank**0.5 if rslora else rank)
        targets = [target("a", [(scale, rank)]), target("b", [(scale, rank)])]
        assert {wanted_alpha(scale, made.rank) / file_alpha(targets) for made in targets} == {1.0}


def test_ranks_that_differ_under_one_alpha_need_no_folding() -> None:
    targets = [target("a", [(16 / 8, 8)]), target("b", [(16 / 12, 12)])]
    assert file_alpha(targets) == wanted_alpha(16 / 8, 8) == wanted_alpha(16 / 12, 12) == 16.0
