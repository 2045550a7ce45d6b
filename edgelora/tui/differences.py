"""Where two answers say something else, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WORD = re.compile(r"\w+|[^\w\s]")

Marks = dict[int, list[tuple[int, int]]]
"""Row -> where pieces of it begin and end."""


class _Word(NamedTuple):
    text: str
    row: int
    begin: int
    end: int


def differences(rows: Sequence[str], others: Sequence[str]) -> tuple[Marks, Marks]:
    """The pieces of each of two texts, given in rows, that the other does not have in that place.

    Takes long where both repeat few words many times; milliseconds for answers of a thousand words.
    """
    ours, theirs = _words(rows), _words(others)
    matcher = SequenceMatcher(None, [word.text for word in ours], [word.text for word in theirs], autojunk=False)
    only_ours, only_theirs = list[_Word](), list[_Word]()
    for kind, i, to_i, j, to_j in matcher.get_opcodes():
        if kind != "equal":
            only_ours += ours[i:to_i]
            only_theirs += theirs[j:to_j]
    return _marks(only_ours, rows), _marks(only_theirs, others)


def _words(rows: Sequence[str]) -> list[_Word]:
    return [_Word(m.group(), i, m.start(), m.end()) for i, row in enumerate(rows) for m in WORD.finditer(row)]


def _marks(words: Iterable[_Word], rows: Sequence[str]) -> Marks:
    """Words that only spaces lie between make one piece."""
    marks: Marks = {}
    for word in words:
        pieces = marks.setdefault(word.row, [])
        if pieces and not rows[word.row][pieces[-1][1] : word.begin].strip():
            pieces[-1] = (pieces[-1][0], word.end)
        else:
            pieces.append((word.begin, word.end))
    return marks
