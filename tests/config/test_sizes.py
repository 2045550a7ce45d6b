from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelora.config.sizes import n_bytes


@given(st.integers(0, 10**6))
def test_units(number: int) -> None:
    for unit, factor in {
        "B": 1,
        "kB": 10**3,
        "MB": 10**6,
        "GB": 10**9,
        "KiB": 2**10,
        "MiB": 2**20,
        "GiB": 2**30,
    }.items():
        assert n_bytes(f"{number}{unit}") == n_bytes(f" {number} {unit.lower()} ") == number * factor


def test_parts_and_nothing() -> None:
    assert n_bytes("1.5MB") == 1_500_000
    assert n_bytes("0") == 0


@pytest.mark.parametrize("text", ["", "256", "MB", "-1MB", "1,5MB", "1e3MB", "12 parsecs", "inf GB", "٣MB"])
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="with its unit"):
        n_bytes(text)
