"""Which adapters count as in use."""

from __future__ import annotations

from edgelora.engine.working_set import REMEMBERED, WorkingSet


def test_what_is_not_used_for_some_steps_no_longer_counts() -> None:
    used = WorkingSet()
    used.step("ab")
    for i in range(1, REMEMBERED):
        used.step("b" if i % 2 else "bc")
        assert used.adapters == ({*"abc"} if i > 1 else {*"ab"})
    used.step("b")
    assert used.adapters == {*"bc"}


def test_steps_without_adapters_count_too() -> None:
    used = WorkingSet()
    used.step("a")
    for _ in range(REMEMBERED - 1):
        used.step(())
    assert used.adapters == {"a"}
    used.step(())
    assert not used.adapters


def test_who_comes_back_counts_again() -> None:
    used = WorkingSet()
    used.step("ab")
    for _ in range(REMEMBERED):
        used.step("a")
    assert used.adapters == {"a"}
    used.step("b")
    assert used.adapters == {*"ab"}


def test_who_goes_does_not_count() -> None:
    used = WorkingSet()
    used.step("ab")
    used.forget("a")
    used.forget("c")
    assert used.adapters == {"b"}
