"""Heights that become known one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgelora.tui.heights import Heights

LINES = st.integers(1, 9)


@given(
    st.lists(LINES, min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), LINES)),
    st.integers(0, 12),
    st.lists(LINES),
)
def test_places_are_those_of_things_below_each_other(
    estimates: list[int], learnt: list[tuple[int, int]], index: int, others: list[int]
) -> None:
    heights, expected = Heights(), list(estimates)
    heights.replace_from(0, estimates)
    for at, height in learnt:
        if at < len(expected):
            assert heights.learn(at, height) == (expected[at] != height)
            assert heights.is_exact(at)
            expected[at] = height
    index = min(index, len(expected))
    heights.replace_from(index, others)
    expected[index:] = others
    owners = [thing for thing, height in enumerate(expected) for _ in range(height)]
    assert heights.total == len(owners)
    assert [heights.top(thing) for thing in range(len(heights))] == [owners.index(t) for t in range(len(expected))]
    assert [heights.at(line) for line in range(len(owners))] == owners
    assert not any(heights.is_exact(thing) for thing in range(index, len(heights)))
