"""Who is to blame for crashes. Groups are what requests compute with: a, b are adapters, "" is the base alone."""

from __future__ import annotations

import pytest
from support.engine_links import CRASH

from edgelora.engine.quarantine import Group, Quarantine
from edgelora.errors import QuarantinedError


def groups(text: str) -> list[Group]:
    """``a ab`` is two groups; ``-`` the base alone."""
    return [frozenset(word.replace("-", "")) for word in text.split()]


@pytest.mark.parametrize(
    ("crashes", "refused", "free"),
    [
        ("a", "", "a b -"),
        ("a, a", "a ab abc", "b -"),
        ("a, b", "", "a b -"),
        ("a b, a b", "", "a b ab -"),  # either, and nobody knows which
        ("a b, a b, b", "b ab", "a -"),
        ("ab, a", "", "a b ab"),
        ("ab, ab", "ab abc", "a b ac -"),
        ("-, -", "- a ab", ""),
        ("-, a, -", "- a", ""),
        ("- a, -", "- a", ""),
        ("a, answered b, a", "a", "b -"),
        ("a, answered -, a", "a", "b -"),
        ("a, answered a, a", "", "a -"),
        ("a, answered ab, a", "", "a -"),
        ("ab, answered a, ab", "ab", "a b -"),
        ("-, answered a, -", "", "a -"),
        ("", "", "a -"),
    ],
)
def test_who_is_refused_after(crashes: str, refused: str, free: str) -> None:
    quarantine = Quarantine("base.gguf", "adapter {}".format)
    for what in crashes.split(", "):
        if what.startswith("answered"):
            quarantine.note_answer(groups(what)[1])
        else:
            quarantine.note_crash(groups(what), CRASH)
    for group in groups(refused):
        with pytest.raises(QuarantinedError, match="SIGSEGV"):
            quarantine.require_free(group)
    for group in groups(free):
        quarantine.require_free(group)


def test_many_refusals_leave_nothing_behind() -> None:
    quarantine = Quarantine("base.gguf", "adapter {}".format)
    for _ in range(2):
        quarantine.note_crash(groups("a"), CRASH)
    lengths = set()
    for _ in range(3):
        with pytest.raises(QuarantinedError) as refused:
            quarantine.require_free(groups("a")[0])
        lengths.add(len(refused.traceback))
    assert len(lengths) == 1


def test_who_must_be_alone() -> None:
    quarantine = Quarantine("base.gguf", str)
    quarantine.note_crash(groups("a bc"), CRASH)
    assert all(map(quarantine.is_suspect, groups("a ab bc abc")))
    assert not any(map(quarantine.is_suspect, groups("- b c")))


def test_words_name_all_that_is_refused() -> None:
    quarantine = Quarantine("base.gguf", "adapter {}".format)
    quarantine.note_crash(groups("ab"), CRASH)
    quarantine.note_crash(groups("ab"), CRASH)
    with pytest.raises(QuarantinedError, match=r"^adapter a together with adapter b crashed") as caught:
        quarantine.require_free(*groups("ab"))
    assert caught.value.adapters == ("a", "b")
    quarantine.note_crash(groups("-"), CRASH)
    quarantine.note_crash(groups("-"), CRASH)
    with pytest.raises(QuarantinedError, match=r"^base\.gguf crashed") as caught:
        quarantine.require_free(frozenset())
    assert caught.value.adapters == ()
