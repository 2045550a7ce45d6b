"""Codes chosen with activations: what they gain, and the algebra behind."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelora.merge import rounding
from edgelora.merge.encoders import Calibrated, Order
from edgelora.merge.grids import GRID_TYPES, Grid, grid_of
from edgelora.merge.moments import energy, trusted
from edgelora.native.quantize import dequantize, quantize


def moments(n: int, seed: int, tokens: int = 400) -> np.ndarray:
    """Of inputs that go together, some much larger than others."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((tokens, n // 4)) @ rng.standard_normal((n // 4, n))
    inputs = (inputs + 0.3 * rng.standard_normal((tokens, n))) * rng.lognormal(0, 1, n)
    return (inputs.T @ inputs).astype(np.float32)


def rows(type_name: str, n: int, seed: int, change: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Stored rows, and the values that they should have after a change."""
    rng = np.random.default_rng(seed)
    raw = quantize(type_name, rng.standard_normal((12, n)).astype(np.float32))
    old = dequantize(type_name, raw)
    return raw, (old + change * rng.standard_normal(old.shape)).astype(np.float32)


@pytest.mark.parametrize("columns", [200, 512])
def test_chains_factor_the_inverse_of_the_moments(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "COLUMNS", columns)
    found = rounding.chains(moments(512, 0))
    assert sorted(np.concatenate([chain.columns for chain in found])) == list(range(512))
    for chain in found:
        factor = chain.passed_on.astype(np.float64)
        assert (np.tril(factor, -1) == 0).all()
        expected = np.linalg.inv(trusted(moments(512, 0), chain.columns))
        np.testing.assert_allclose(factor.T @ factor, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(GRID_TYPES)), st.integers(0, 2**16))
def test_no_other_code_leaves_less_to_the_columns_that_follow(type_name: str, seed: int) -> None:
    """With e the errors in a chain's order and H⁻¹ = Uᵀ·U, the outputs err by eᵀ·H·e = |y|² where Uᵀ·y = e."""
    raw, wanted = rows(type_name, 512, seed)
    grid, weights = grid_of(type_name, raw), moments(512, seed)
    (chain,) = rounding.chains(weights)
    codes = rounding.rounded(grid, wanted, [chain])
    errors = (grid.values(codes) - wanted)[:, chain.columns].T.astype(np.float64)
    factor = chain.passed_on.astype(np.float64)
    left = np.linalg.solve(factor.T, errors)
    assert np.square(left).sum() == pytest.approx(energy(errors.T[:, np.argsort(chain.columns)], weights), rel=1e-2)
    steps = every_value(grid, codes)[:, :, chain.columns] - grid.values(codes)[:, chain.columns]
    others = left + steps.transpose(0, 2, 1) / factor.diagonal()[:, None]
    assert (np.abs(left) <= np.abs(others) + 1e-2 * np.abs(others - left)).all()


def every_value(grid: Grid, codes: np.ndarray) -> np.ndarray:
    """What every code would stand for in every place of ``codes``: ``[n_codes, n, n_cols]``."""
    return np.stack([grid.values(np.full_like(codes, code)) for code in range(len(grid.levels.values))])


@pytest.mark.parametrize("type_name", sorted(GRID_TYPES))
def test_calibrated_codes_err_less_than_the_nearest_ones(type_name: str) -> None:
    """On the whole: columns are rounded greedily, so single rows may do worse; the planner tries both."""
    chosen = nearest = 0.0
    for seed in range(3):
        raw, wanted = rows(type_name, 512, seed)
        grid, weights = grid_of(type_name, raw), moments(512, seed)
        codes = rounding.rounded(grid, wanted, rounding.chains(weights))
        chosen += energy(grid.values(codes) - wanted, weights)
        nearest += energy(grid.values(grid.nearest(wanted)) - wanted, weights)
    assert chosen < nearest


def test_the_gain_is_large_where_inputs_go_together() -> None:
    raw, wanted = rows("Q6_K", 512, 1)
    grid, weights = grid_of("Q6_K", raw), moments(512, 1)
    chosen = grid.values(rounding.rounded(grid, wanted, rounding.chains(weights)))
    assert energy(chosen - wanted, weights) < 0.7 * energy(grid.values(grid.nearest(wanted)) - wanted, weights)


def test_without_anything_in_common_codes_are_the_nearest() -> None:
    raw, wanted = rows("Q5_K", 512, 2)
    grid = grid_of("Q5_K", raw)
    alone = np.diag(np.random.default_rng(3).lognormal(0, 2, 512)).astype(np.float32)
    for weights in (alone, np.zeros((512, 512), np.float32)):
        codes = rounding.rounded(grid, wanted, rounding.chains(weights))
        np.testing.assert_array_equal(codes, grid.nearest(wanted))


def test_rows_do_not_depend_on_their_company() -> None:
    raw, wanted = rows("Q4_0", 512, 4)
    order = rounding.chains(moments(512, 4))
    together = rounding.rounded(grid_of("Q4_0", raw), wanted, order)
    for row in range(0, len(raw), 5):
        alone = rounding.rounded(grid_of("Q4_0", raw[row : row + 1]), wanted[row : row + 1], order)
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.parametrize("fresh", [False, True])
def test_only_codes_are_chosen(fresh: bool) -> None:
    raw, wanted = rows("Q6_K", 512, 5)
    weights = moments(512, 5)
    encode = Calibrated("Q6_K", Order(weights, len(raw)), fresh)
    scales = quantize("Q6_K", wanted, importance=np.ascontiguousarray(weights.diagonal())) if fresh else raw
    stored = encode(wanted, raw)
    np.testing.assert_array_equal(grid_of("Q6_K", stored).scale, grid_of("Q6_K", scales).scale)
    assert energy(dequantize("Q6_K", stored) - wanted, weights) < energy(dequantize("Q6_K", scales) - wanted, weights)


def test_an_order_is_worked_out_once_and_let_go_after_its_last_row(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[rounding.Chain] = []

    def counted(weights: np.ndarray) -> list[rounding.Chain]:
        made.extend(rounding.chains(weights))
        return [made[-1]]

    monkeypatch.setattr("edgelora.merge.encoders.chains", counted)
    order = Order(moments(64, 0), 10)
    assert order.take(4) is order.take(5)
    kept = weakref.ref(made.pop().passed_on)
    order.take(1)
    assert kept() is None
