"""What a message of the transcript says, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from edgelora.tui.rows import TAB_SIZE, Row, Text
from edgelora.tui.theme import QUIET

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd") | {0x0A: "\n", 0x0D: "", 0x09: "\t"}
"""What could do something to the terminal is shown as such."""
BLANK = Row(Text(Content()))


def plain_rows(text: str) -> list[Row]:
    """A text as it was written."""
    lines = text.translate(CONTROLS).split("\n")
    return [Row(Text(Content(line.expandtabs(TAB_SIZE)))) for line in lines]


def prompt_rows(text: str, *, folded: bool) -> list[Row]:
    """What a person asked: all of it, or its first line."""
    n_more = text.count("\n")
    if not folded or not n_more:
        return plain_rows(text)
    return [*plain_rows(text.split("\n", 1)[0]), _row((f"… {n_more:,} more lines", QUIET))]


def answer_rows(rows: Sequence[Row], alternatives: str, caption: str) -> list[Row]:
    """An answer, and below it which of how many it is, and what made it."""
    space = "  " if alternatives else ""
    return [*rows, BLANK, _row((alternatives, "bold $accent"), (f"{space}{caption}", QUIET))]


def folded_rows(answer: str) -> list[Row]:
    """The first words of an answer."""
    first, *more = answer.strip().split("\n")
    [row] = plain_rows(first)
    return [_row((row.text, ""), (f" … {len(more):,} more lines" if more else "", QUIET))]


def about(text: str, width: int) -> int:
    """In how many lines of ``width`` cells ``text`` goes, about."""
    return text.count("\n") + 1 + len(text) // width


def _row(*parts: tuple[str, str]) -> Row:
    return Row(Text(Content.assemble(*parts)))
