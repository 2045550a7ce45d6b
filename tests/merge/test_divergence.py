"""Divergence of predictions: properties of the mathematics, and agreement with sums that do not round."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.kl import agreement

from edgelora.errors import EngineError
from edgelora.merge.divergence import divergence, log_probabilities, same_choice

LOGITS = st.floats(-60, 60, width=32)


def rows(count: int) -> st.SearchStrategy[np.ndarray]:
    return st.integers(1, 40).flatmap(lambda n: arrays.arrays(np.float32, (count, n), elements=LOGITS))


@given(rows(1))
def test_probabilities_sum_to_one(logits: np.ndarray) -> None:
    assert np.exp(log_probabilities(logits[0])).sum() == pytest.approx(1, abs=1e-12)


@given(rows(2))
def test_it_is_what_the_definition_gives(pair: np.ndarray) -> None:
    reference, other = map(log_probabilities, pair)
    expected = agreement(pair[:1], pair[1:])
    assert divergence(reference, other) == pytest.approx(expected.kl, rel=1e-9, abs=1e-12)
    best = np.sort(pair.astype(np.float64), axis=1)
    if best.shape[1] == 1 or (best[:, -1] - best[:, -2] > 1e-9).all():  # ties come from rounding
        assert same_choice(reference, other) == bool(expected.top1)


@given(rows(2))
def test_it_is_never_negative_and_zero_for_equals(pair: np.ndarray) -> None:
    reference, other = map(log_probabilities, pair)
    assert divergence(reference, other) >= 0
    assert divergence(reference, reference) == 0


@given(rows(2), st.integers(-100, 100))
def test_a_constant_added_to_all_logits_changes_nothing(pair: np.ndarray, shift: int) -> None:
    exact = pair.astype(np.float64)
    expected = divergence(*map(log_probabilities, exact))
    assert divergence(log_probabilities(exact[0] + shift), log_probabilities(exact[1])) == pytest.approx(
        expected, abs=1e-11
    )


def test_a_known_value() -> None:
    reference = log_probabilities(np.log(np.array([0.5, 0.25, 0.25])))
    other = log_probabilities(np.log(np.array([0.25, 0.5, 0.25])))
    assert divergence(reference, other) == pytest.approx(0.25 * np.log(2))
    assert not same_choice(reference, other)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_no_number_is_an_error(bad: float) -> None:
    with pytest.raises(EngineError, match="no numbers"):
        log_probabilities(np.array([0.0, bad, 1.0], np.float32))
