"""Which adapters count as in use."""

from __future__ import annotations

from edgelora.engine.working_set import REMEMBERED, WorkingSet


def test_what_is_not_used_for_32_steps_no_longer_counts() -> None:
    used = WorkingSet()
    used.begin("abc")
    assert not any(used.step("b" if i % 2 else "bc") for i in range(REMEMBERED - 1))
    assert used.adapters == set("abc")
    assert used.step("b")
    assert used.adapters == set("bc")
    assert not any(used.step("b") for _ in range(REMEMBERED - 2))
    assert used.step("b")
    assert used.adapters == set("b")


def test_steps_without_adapters_count_too() -> None:
    used = WorkingSet()
    used.begin("a")
    assert [used.step(()) for _ in range(REMEMBERED)] == [False] * (REMEMBERED - 1) + [True]
    assert not used.adapters


def test_who_comes_back_counts_again() -> None:
    used = WorkingSet()
    used.begin("ab")
    for _ in range(REMEMBERED):
        used.step("a")
    used.step("b")
    assert used.adapters == set("ab")


def test_who_goes_does_not_count() -> None:
    used = WorkingSet()
    used.begin("ab")
    used.forget("a")
    used.forget("c")
    assert used.adapters == set("b")
