"""Whose rows the graph sees: always enough, soon no more than that, and never at a price that does not pay."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from edgelora.engine.pool_rows import ROW_STEP, rounded
from edgelora.engine.pool_view import COPY_COST, GRAPH_COST, TOKEN_COST, PoolView
from edgelora.engine.working_set import REMEMBERED

RANK = 16
WHOLE = 4096

Steps = list[tuple[frozenset[str], int]]
STEPS = st.lists(
    st.tuples(st.frozensets(st.sampled_from("abcdefghijklmnopqrst"), max_size=6), st.integers(1, 150)), max_size=80
)


class Seen:
    """A view of a pool of ``whole`` rows, whose adapters have 16 each."""

    def __init__(self, whole: int = WHOLE, most_copied: int = WHOLE) -> None:
        self.view = PoolView(self.n_rows, lambda rows: rows <= most_copied)
        self.whole = whole

    def n_rows(self, adapters: Collection[str]) -> int:
        return RANK * len(adapters)

    @property
    def rows(self) -> int:
        return self.whole if self.view.adapters is None else rounded(self.n_rows(self.view.adapters))

    def step(self, needed: frozenset[str], n_tokens: int) -> bool:
        return self.view.step(needed, n_tokens, seen=self.rows, whole=self.whole)


@given(STEPS)
def test_a_step_sees_all_that_it_needs(steps: Steps) -> None:
    seen = Seen()
    for needed, n_tokens in steps:
        seen.step(needed, n_tokens)
        assert seen.view.adapters is None or needed <= seen.view.adapters


@given(STEPS, st.frozensets(st.sampled_from("abcdefghijklmnopqrst"), min_size=1, max_size=6), st.integers(1, 150))
def test_soon_no_more_than_is_needed(steps: Steps, needed: frozenset[str], n_tokens: int) -> None:
    seen = Seen()
    for before in steps:
        seen.step(*before)
    for _ in range(32):
        seen.step(needed, n_tokens)
    assert seen.rows < 2 * rounded(seen.n_rows(needed))
    assert not any(seen.step(needed, n_tokens) for _ in range(3 * REMEMBERED))


def test_one_of_eight_is_alone_within_32_steps() -> None:
    seen = Seen(whole=128)
    for _ in range(REMEMBERED):
        assert not seen.step(frozenset("abcdefgh"), 8)
    assert any(seen.step(frozenset("a"), 1) for _ in range(32))
    assert seen.rows == ROW_STEP


@given(STEPS)
def test_copies_cost_no_more_than_what_would_have_been_computed_in_vain(steps: Steps) -> None:
    seen = Seen()
    copied = in_vain = 0.0
    for i, (needed, n_tokens) in enumerate(steps):
        used = frozenset[str]().union(*(each for each, _ in steps[max(0, i - REMEMBERED + 1) : i + 1]))
        sees_all_of_it = seen.view.adapters is None or needed <= seen.view.adapters
        unchanged = seen.rows if sees_all_of_it else seen.whole
        in_vain += (unchanged - rounded(seen.n_rows(used))) * (1 + TOKEN_COST * n_tokens)
        if seen.step(needed, n_tokens) and seen.view.adapters is not None:
            copied += COPY_COST * seen.rows + GRAPH_COST
        assert copied <= in_vain


def test_without_memory_for_a_copy_everything_is_seen() -> None:
    seen = Seen(most_copied=0)
    assert not any(seen.step(frozenset("a"), 100) for _ in range(100))
    assert seen.rows == seen.whole


def test_who_has_gone_is_not_seen_when_it_comes_back() -> None:
    seen = Seen()
    for _ in range(100):
        seen.step(frozenset("ab"), 1)
    assert seen.view.adapters == {*"ab"}
    seen.view.forget("a")
    assert seen.step(frozenset("a"), 1)


def test_nothing_in_use_is_no_reason_to_look_away() -> None:
    seen = Seen()
    assert not any(seen.step(frozenset(), 1) for _ in range(100))
