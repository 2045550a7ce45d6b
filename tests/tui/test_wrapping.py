"""Where lines break."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from edgelora.tui.wrapping import wrap

PIECES = st.sampled_from(
    [
        "word",
        "longer-word",
        " ",
        "   ",
        "漢",
        "字。",
        "「",
        "é",
        "e\u0301",
        "👍🏽",
        "👩‍👩‍👧",
        "❤\ufe0f",
        "سلام",
        "a" * 30,
    ]
)


def wrapped(text: str, width: int) -> list[str]:
    return [text[begin:end] for begin, end in wrap(text, width)]


def test_words_stay_whole_where_they_fit() -> None:
    assert wrapped("one two  three", 7) == ["one two", "three"]
    assert wrapped("", 7) == [""]
    assert wrapped("  indented word", 10) == ["  indented", "word"]
    assert wrapped("abcdefghij kl", 4) == ["abcd", "efgh", "ij", "kl"]


def test_chinese_and_japanese_break_anywhere_but_before_punctuation() -> None:
    assert wrapped("a 漢字漢字。漢字", 8) == ["a 漢字漢", "字。漢字"]
    assert wrapped("漢字漢字。漢字", 8) == ["漢字漢", "字。漢字"]
    assert wrapped("漢字「漢字」", 6) == ["漢字", "「漢", "字」"]


@given(st.lists(PIECES, max_size=30).map("".join), st.integers(2, 20))
def test_lines_fit_and_nothing_but_spaces_is_lost(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cell_len(text[begin:end]) <= width for begin, end in lines)
    ends = [0, *(end for _, end in lines)]
    begins = [*(begin for begin, _ in lines), len(text)]
    assert all(not text[end:begin].strip() for end, begin in zip(ends, begins, strict=True))
    assert all(end <= begin for end, begin in zip(ends, begins, strict=True))
