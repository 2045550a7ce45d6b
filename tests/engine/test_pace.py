"""The number of tokens that fit a given time is learnt from steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelora.engine.pace import Pace


def seconds(n_tokens: int) -> float:
    """A machine on which few tokens cost more each than many."""
    return 0.02 + 0.007 * n_tokens


@given(st.floats(0.001, 3), st.integers(1, 512))
def test_nothing_known_means_no_limit(time: float, most: int) -> None:
    assert Pace().tokens(time, most) == most


@given(st.floats(0.03, 2.0))
def test_batches_settle_at_the_time_they_may_take(target: float) -> None:
    pace, sizes = Pace(), []
    pace.learn(1, seconds(1))
    for _ in range(60):
        sizes.append(pace.tokens(target, 144))
        pace.learn(sizes[-1], seconds(sizes[-1]))
    assert seconds(sizes[-1]) <= target * 1.05
    assert sizes[-1] == 144 or seconds(sizes[-1]) >= target / 2  # within the next power of two


def test_a_burst_is_forgotten() -> None:
    pace = Pace()
    for _ in range(5):
        for size in (1, 8, 64, 128):
            pace.learn(size, seconds(size))
    before = pace.tokens(0.5, 144)
    pace.learn(before, 30.0)
    for _ in range(20):
        size = pace.tokens(0.5, 144)
        pace.learn(size, seconds(size))
    assert pace.tokens(0.5, 144) == pytest.approx(before, rel=0.2)


@given(st.lists(st.tuples(st.integers(1, 144), st.floats(1e-4, 5)), max_size=20), st.floats(1e-4, 5))
def test_there_is_always_something_to_compute(steps: list[tuple[int, float]], target: float) -> None:
    pace = Pace()
    for size, took in steps:
        pace.learn(size, took)
    assert 1 <= pace.tokens(target, 144) <= 144
    assert pace.seconds(5) >= 0
