"""Where two answers differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgelora.tui.differences import WORD, Marks, differences

ROWS = st.lists(st.text("ab ,.", max_size=12), max_size=5)


def marked(rows: list[str], marks: Marks) -> list[str]:
    return [rows[row][begin:end] for row, pieces in marks.items() for begin, end in pieces]


def test_words_and_signs_are_compared_and_neighbours_marked_as_one() -> None:
    ours, theirs = ["The party shall hold it,", "in confidence."], ["The party will not hold it", "in confidence."]
    of_ours, of_theirs = differences(ours, theirs)
    assert marked(ours, of_ours) == ["shall", ","]
    assert marked(theirs, of_theirs) == ["will not"]


@given(ROWS, ROWS)
def test_what_is_not_marked_is_the_same_on_both_sides(ours: list[str], theirs: list[str]) -> None:
    common = [unmarked(rows, marks) for rows, marks in zip((ours, theirs), differences(ours, theirs), strict=True)]
    assert common[0] == common[1]


def unmarked(rows: list[str], marks: Marks) -> list[str]:
    return [
        match.group()
        for i, row in enumerate(rows)
        for match in WORD.finditer(row)
        if not any(begin <= match.start() < end for begin, end in marks.get(i, []))
    ]


@given(ROWS)
def test_a_text_does_not_differ_from_itself(rows: list[str]) -> None:
    assert differences(rows, rows) == ({}, {})
