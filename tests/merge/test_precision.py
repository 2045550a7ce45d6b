"""Which type a changed tensor gets, and what the stored rows are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelora.errors import QuantizationError
from edgelora.merge.kept import together
from edgelora.merge.moments import energy
from edgelora.merge.precision import (
    NEW_SCALES,
    PLAIN,
    Plan,
    ladder_from,
    plan_cheapest,
    plan_forced,
    quantized,
)
from edgelora.merge.sample import ROWS, sample_of
from edgelora.native.quantize import dequantize, quantize, row_bytes

N_COLS = 512


@dataclass
class Stored:
    """A tensor of a base, in memory."""

    type_name: str
    raw: np.ndarray
    shape: tuple[int, ...]
    name: str = "blk.0.ffn_up.weight"

    @property
    def n_rows(self) -> int:
        return len(self.raw)

    def rows(self, first: int, count: int) -> np.ndarray:
        return self.raw[first : first + count].copy()

    @property
    def values(self) -> np.ndarray:
        return dequantize(self.type_name, self.raw)


@dataclass
class Added:
    """A change: these values are added."""

    delta: np.ndarray

    def apply(self, first_row: int, values: np.ndarray) -> np.ndarray:
        return values + self.delta[first_row : first_row + len(values)]


def tensor(type_name: str, n_rows: int = 96, seed: int = 0) -> Stored:
    values = np.random.default_rng(seed).standard_normal((n_rows, N_COLS)).astype(np.float32) * 0.03
    return Stored(type_name, quantize(type_name, values), (N_COLS, n_rows))


def change(to: Stored, share: float, seed: int = 1) -> Added:
    """A low-rank change of this size, relative to the weights."""
    rng = np.random.default_rng(seed)
    delta = rng.standard_normal((to.n_rows, 8)) @ rng.standard_normal((8, N_COLS))
    return Added((delta * share * np.linalg.norm(to.values) / np.linalg.norm(delta)).astype(np.float32))


def correlated() -> np.ndarray:
    rng = np.random.default_rng(2)
    inputs = (rng.standard_normal((900, 90)) @ rng.standard_normal((90, N_COLS))) * rng.lognormal(0, 1, N_COLS)
    return (inputs.T @ inputs).astype(np.float32)


def written(plan: Plan) -> np.ndarray:
    """What the writer makes of it, in pieces; the stored values."""
    rewrite, pieces = plan.rewrite(), []
    for first in range(0, rewrite.tensor.n_rows, 40):
        old = rewrite.tensor.rows(first, min(40, rewrite.tensor.n_rows - first))
        values = rewrite.change.apply(first, dequantize(rewrite.tensor.type_name, old))
        pieces.append(rewrite.encode(first, values, old))
    return np.concatenate(pieces)


def measured_loss(base: Stored, added: Added, values: np.ndarray) -> float:
    return float(((values - base.values - added.delta) ** 2).sum() / (added.delta**2).sum())


# --- auto


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_XS", "F16", "BF16", "F32"]),
    st.floats(1e-5, 1).map(float),
    st.floats(1e-4, 0.2).map(float),
)
def test_the_cheapest_type_stays_within_the_budget_and_a_cheaper_one_would_not(
    type_name: str, share: float, budget: float
) -> None:
    base = tensor(type_name)
    added = change(base, share)
    plan = plan_cheapest(base, added, budget=budget)
    assert plan.loss <= budget
    ladder = ladder_from(type_name, N_COLS)
    cheaper = ladder[: ladder.index(plan.type_name)][-1:]
    assert all(plan_forced(base, added, other).loss > budget for other in cheaper)
    assert plan.nbytes >= base.raw.nbytes
    stored = dequantize(plan.type_name, written(plan))
    assert measured_loss(base, added, stored) <= 1.3 * budget + 1e-9  # of all rows, not only the sampled


def test_small_changes_of_a_narrow_base_need_wider_types() -> None:
    base = tensor("Q4_K")
    chosen = [plan_cheapest(base, change(base, share)).type_name for share in (2, 0.2, 0.06, 0.006)]
    widths = [row_bytes(name, N_COLS) for name in chosen]
    assert widths == sorted(widths)
    assert chosen[0] == "Q4_K"
    assert {"Q8_0", "F16"} <= set(chosen)


def test_activations_decide_which_columns_matter() -> None:
    base = tensor("Q4_0")
    added = Added(np.zeros((base.n_rows, N_COLS), np.float32))
    added.delta[:, :32] = np.random.default_rng(3).standard_normal((base.n_rows, 32)) * 0.02
    only = np.zeros(N_COLS, np.float32)
    only[:32] = 1
    seen, unseen = (plan_cheapest(base, added, moments) for moments in (only, 1 - only))
    assert row_bytes(seen.type_name, N_COLS) <= row_bytes(plan_cheapest(base, added).type_name, N_COLS)
    assert unseen.loss <= 0.05  # no activation sees the change: judged by the weights


def test_values_beyond_the_range_of_f16_are_kept_in_f32() -> None:
    base = tensor("F16")
    added = Added(np.full((base.n_rows, N_COLS), 1e5, np.float32))
    assert plan_cheapest(base, added).type_name == "F32"


def test_rows_of_odd_length_get_types_with_small_blocks() -> None:
    assert ladder_from("Q4_0", 96) == ["Q4_0", "Q8_0", "F16", "F32"]
    assert ladder_from("Q5_K", 256) == ["Q5_K", "Q6_K", "Q8_0", "F16", "F32"]
    assert ladder_from("BF16", 256) == ["BF16", "F16", "F32"]
    assert "IQ2_XS" not in ladder_from("IQ2_XS", 256)
    assert ladder_from("IQ2_XS", 256, weighted=True)[0] == "IQ2_XS"


# --- same


def plan_same(tensor: Stored, added: Added, moments: np.ndarray | None = None) -> Plan:
    return plan_forced(tensor, added, tensor.type_name, moments)


@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q3_K", "IQ4_XS"])
def test_the_same_type_is_never_worse_than_plain_rounding(type_name: str) -> None:
    base = tensor(type_name)
    for share in (0.003, 0.03, 0.5):
        added = change(base, share)
        plan, plain = plan_same(base, added, correlated()), plan_forced(base, added, type_name)
        assert plan.type_name == type_name
        seen = [
            sample_of(base, added).loss(dequantize(type_name, written(way))[sampled()], correlated())
            for way in (plan, plain)
        ]
        assert seen[0] <= seen[1]


def sampled() -> np.ndarray:
    """Rows of ``tensor`` that a sample has."""
    marked = Stored("F32", quantize("F32", np.arange(96, dtype=np.float32)[:, None]), (1, 96))
    return sample_of(marked, Added(np.ones((96, 1), np.float32))).old[:, 0].astype(int)


def test_calibrated_codes_keep_more_of_a_small_change() -> None:
    base = tensor("Q4_K")
    added = change(base, 0.02)
    plan = plan_same(base, added, correlated())
    assert plan.method != PLAIN
    written(plan)
    plain = plan_forced(base, added, "Q4_K")
    written(plain)
    assert plan.kept.share > plain.kept.share + 0.05


def test_without_activations_the_same_type_is_rounded_plainly() -> None:
    base = tensor("Q4_K")
    plan = plan_same(base, change(base, 0.05))
    assert plan.method == PLAIN
    np.testing.assert_array_equal(written(plan), quantize("Q4_K", base.values + change(base, 0.05).delta))


def test_a_type_that_needs_activations_is_refused_without() -> None:
    values, known = tensor("F32", n_rows=8).values, np.ones(N_COLS, np.float32)
    base = Stored("IQ2_XXS", quantize("IQ2_XXS", values, importance=known), (N_COLS, 8))
    with pytest.raises(QuantizationError, match="how much each column matters"):
        plan_same(base, change(base, 0.1))
    assert plan_same(base, change(base, 0.1), known).type_name == "IQ2_XXS"


# --- all


def test_what_is_kept_is_exact_after_writing_and_estimated_before() -> None:
    base = tensor("Q5_K", n_rows=400)
    added = change(base, 0.03)
    plan = plan_forced(base, added, "Q5_K")
    assert plan.kept.wanted == 0
    stored = dequantize("Q5_K", written(plan)) - base.values
    exact = float((stored * added.delta).sum() / (added.delta**2).sum())
    assert 0.2 < exact < 0.9
    assert plan.kept.share == pytest.approx(exact, rel=1e-3)
    assert plan.expected.share == pytest.approx(exact, abs=0.1)
    assert plan.expected.wanted == pytest.approx(plan.kept.wanted, rel=0.3)
    assert together([plan.kept, plan.kept]).share == pytest.approx(exact, rel=1e-3)


def test_rows_that_do_not_change_stay_bit_for_bit() -> None:
    base = tensor("Q4_K", n_rows=3000)
    added = Added(np.zeros((3000, N_COLS), np.float32))
    added.delta[[1234, 2999]] = 0.5
    for plan in (plan_cheapest(base, added, budget=1), plan_same(base, added, correlated())):
        assert plan.type_name == "Q4_K"
        raw = written(plan)
        same = (raw == base.raw).all(1)
        assert np.flatnonzero(~same).tolist() == [1234, 2999]


def test_a_few_changed_rows_are_found_and_judged() -> None:
    base = tensor("Q4_0", n_rows=3000)
    added = Added(np.zeros((3000, N_COLS), np.float32))
    added.delta[1234] = change(base, 0.01).delta[1234]
    assert len(sample_of(base, added).new) == 1
    assert plan_cheapest(base, added).type_name in {"Q8_0", "F16"}


def test_a_change_that_changes_nothing_keeps_every_bit() -> None:
    base = tensor("Q4_K")
    nothing = Added(np.zeros((96, N_COLS), np.float32))
    for plan in (plan_cheapest(base, nothing), plan_same(base, nothing), plan_forced(base, nothing, "Q4_K")):
        np.testing.assert_array_equal(written(plan), base.raw)
        assert plan.kept.share == plan.expected.share == 1


def test_tensors_of_a_source_are_quantized_as_well_as_can_be() -> None:
    source, weights = tensor("F16"), correlated()
    ways = [quantized(source, "Q4_K", moments) for moments in (None, np.ascontiguousarray(weights.diagonal()), weights)]
    assert {(rewrite.type_name, rewrite.change) for rewrite in ways} == {("Q4_K", None)}
    raw = [rewrite.encode(0, source.values, source.raw) for rewrite in ways]
    np.testing.assert_array_equal(raw[0], quantize("Q4_K", source.values))
    losses = [energy(dequantize("Q4_K", stored) - source.values, weights) for stored in raw]
    assert losses == sorted(losses, reverse=True)


def test_codes_of_a_merge_into_a_source_are_chosen_with_activations() -> None:
    source = tensor("F16")
    added, weights = change(source, 0.05), correlated()
    plan, plain = plan_forced(source, added, "Q4_K", weights), plan_forced(source, added, "Q4_K")
    assert plan.method == NEW_SCALES  # F16 rows have no scales to keep
    assert plan.loss < 0.8 * sample_of(source, added).loss(dequantize("Q4_K", written(plain))[sampled()], weights)


@pytest.mark.parametrize("n_rows", [1, 5, 8, 63, 64, 65, 1000])
def test_samples_are_spread_over_the_tensor(n_rows: int) -> None:
    marked = Stored("F32", quantize("F32", np.arange(n_rows, dtype=np.float32)[:, None]), (1, n_rows))
    found = sample_of(marked, Added(np.ones((n_rows, 1), np.float32))).old[:, 0].astype(int)
    assert len(set(found)) == len(found) <= ROWS
    assert found[0] == 0
    assert found[-1] == n_rows - 1


def test_norms_keep_their_type_whatever_is_forced() -> None:
    norm = Stored("F32", quantize("F32", np.ones((1, N_COLS), np.float32)), (N_COLS,))
    assert plan_forced(norm, Added(np.ones((1, N_COLS), np.float32)), "Q8_0").type_name == "F32"


@pytest.mark.parametrize("plan", [plan_cheapest, plan_same])
def test_a_change_too_small_to_be_squared_costs_nothing(plan: Callable[..., Plan]) -> None:
    base = Stored("F32", np.zeros((8, 4 * N_COLS), np.uint8), (N_COLS, 8))
    tiny = Added(np.full((8, N_COLS), 1e-30, np.float32))
    assert (tiny.apply(0, base.values) != base.values).all()
    for moments in (None, np.ones(N_COLS, np.float32)):
        chosen = plan(base, tiny, moments)
        assert (chosen.loss, chosen.expected.share) == (0.0, 1.0)
