from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelora.engine.rows import PoolFullError, RowAllocator


@given(size=st.integers(0, 40), steps=st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=40))
def test_rows_have_one_owner_and_come_back(size: int, steps: list[tuple[bool, int]]) -> None:
    rows, owned = RowAllocator(size), []
    for give_back, count in steps:
        if give_back and owned:
            rows.give_back(owned.pop(count % len(owned)))
        elif count <= rows.n_free:
            owned.append(rows.take(count))
        else:
            with pytest.raises(PoolFullError) as caught:
                rows.take(count)
            assert caught.value.missing == count - rows.n_free
        taken = [row for group in owned for row in group]
        assert len(set(taken)) == len(taken)
        assert set(taken) <= set(range(size))
        assert rows.n_free == size - len(taken)


def test_the_lowest_free_rows_come_first() -> None:
    rows = RowAllocator(8)
    first, second = rows.take(2), rows.take(3)
    rows.give_back(first)
    assert second == (2, 3, 4)
    assert rows.take(3) == (0, 1, 5)
