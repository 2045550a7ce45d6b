"""A line of a row, painted: a strip whose cells know where in the text of their row they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.strip import Strip
from textual.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgelora.tui.rows import Line, Piece

    Spans = Sequence[tuple[Style | str, int, int]]
    """Styles, and where in the text of a row they begin and end."""


def paint(line: Line, place: int, width: int, ground: Style, spans: Spans = ()) -> Strip:
    """``line`` in ``width`` cells on ``ground``; selections know its row by the number ``place``."""
    segments = [segment for piece in line.pieces for segment in _segments(piece, place, ground, spans)]
    cells = sum(segment.cell_length for segment in segments)
    room = ground + Style.parse(line.ground) if line.ground else bare(ground)
    return Strip([*segments, Segment(" " * (width - cells), room.rich_style)]).adjust_cell_length(width)


def bare(style: Style) -> Style:
    """``style`` where there is no text."""
    return Style(background=style.background)


def _segments(piece: Piece, place: int, ground: Style, spans: Spans) -> Iterator[Segment]:
    """A piece of a line, with the places of its characters for the mouse."""
    content, at = piece.content, piece.at
    if not piece.is_text:
        for text, style in content.render(ground, end=""):
            placed = style.rich_style_with_offset(at, place)
            yield from (Segment(cell, placed) for cell in text)
        return
    for added, begin, end in spans:
        if begin < at + len(content) and end > at:
            content = content.stylize(added, max(0, begin - at), end - at)
    for text, style in content.render(ground, end=""):
        yield Segment(text or " ", (style if text else bare(style)).rich_style_with_offset(at, place))
        at += len(text)
