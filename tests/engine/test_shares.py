"""A number is divided fairly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgelora.engine.shares import equal_shares


@given(st.lists(st.integers(0, 5000), max_size=20), st.integers(0, 5000))
def test_nobody_gets_more_than_another_who_wants_more(wanted: list[int], available: int) -> None:
    given_ = equal_shares(wanted, available)
    assert sum(given_) == min(available, sum(wanted))
    assert all(0 <= got <= want for got, want in zip(given_, wanted, strict=True))
    for got, want in zip(given_, wanted, strict=True):
        assert got == want or got >= max(given_) - 1


def test_a_small_wish_is_granted_beside_a_large_one() -> None:
    assert equal_shares([4000, 40, 4000], 144) == [52, 40, 52]
