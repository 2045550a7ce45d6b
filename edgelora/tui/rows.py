"""Rows of styled text, laid out one by one in lines of pieces that know where in the text of their row they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from rich.cells import cell_len
from textual.content import Content

from edgelora.tui.theme import FAINT, QUIET
from edgelora.tui.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

CODE_BLOCK = "on $surface"
TAB_SIZE = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """What stands in a line. Text begins at ``at`` in its row's text; of what is no text every cell is at ``at``."""

    content: Content
    at: int
    is_text: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """Pieces from left to right; ``ground`` is the style of the room that they leave."""

    pieces: Sequence[Piece]
    ground: str = ""


class Body(Protocol):
    """What a row says."""

    @property
    def text(self) -> str:
        """As one line."""

    def lines(self, width: int) -> list[Line]:
        """In lines of ``width`` cells, at least one."""

    def copied(self, begin: int, end: int) -> str:
        """What a part of ``text`` is outside of the terminal."""


@dataclass(frozen=True, slots=True)
class Row:
    """A body after a margin: ``first`` before its first line, ``rest`` before the others."""

    body: Body
    first: str = ""
    rest: str = ""

    @property
    def text(self) -> str:
        """What it says, as one line."""
        return self.body.text

    def lines(self, width: int) -> list[Line]:
        """Its lines in ``width`` cells."""
        lines = self.body.lines(max(1, width - cell_len(self.first)))
        if not self.first:
            return lines
        return [
            replace(line, pieces=[Piece(Content.styled(margin, QUIET), line.pieces[0].at, is_text=False), *line.pieces])
            for margin, line in zip([self.first, *[self.rest] * (len(lines) - 1)], lines, strict=True)
        ]

    def copied(self, begin: int, end: int) -> str:
        """A part of its text, after what is before it if that is not code."""
        margin = "" if begin or isinstance(self.body, Code) else self.first.replace("▌", ">")
        return margin + self.body.copied(begin, end)


@dataclass(frozen=True, slots=True)
class Text:
    """Words without line breaks and tabs."""

    content: Content

    @property
    def text(self) -> str:
        """All of it."""
        return self.content.plain

    def lines(self, width: int) -> list[Line]:
        """Wrapped between words."""
        return [Line([Piece(self.content[begin:end], begin)]) for begin, end in wrap(self.text, width)]

    def copied(self, begin: int, end: int) -> str:
        """As it stands."""
        return self.text[begin:end]


@dataclass(frozen=True, slots=True)
class Code:
    """A line of code on a ground of its own. ``source`` is the line as it was written, ``content`` without tabs."""

    content: Content
    source: str

    @property
    def text(self) -> str:
        """With spaces instead of tabs."""
        return self.content.plain

    def lines(self, width: int) -> list[Line]:
        """Wrapped, with a space on both sides."""
        code = self.content.stylize_before(CODE_BLOCK)
        return [
            Line([Piece(_SPACE, begin, is_text=False), Piece(code[begin:end], begin)], CODE_BLOCK)
            for begin, end in wrap(self.text, max(1, width - 2))
        ]

    def copied(self, begin: int, end: int) -> str:
        """With its tabs."""
        at, kept = 0, []
        for character in self.source:
            if begin <= at < end:
                kept.append(character)
            at += TAB_SIZE - at % TAB_SIZE if character == "\t" else 1
        return "".join(kept)


class Rule:
    """A line across, which says nothing."""

    text = ""

    def lines(self, width: int) -> list[Line]:
        """As long as there is room."""
        return [Line([Piece(Content.styled("─" * width, FAINT), 0)])]

    def copied(self, begin: int, end: int) -> str:
        """Nothing."""
        return ""


_SPACE = Content.styled(" ", CODE_BLOCK)
