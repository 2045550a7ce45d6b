"""Markdown that is painted line by line: what was painted before is neither read nor laid out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from edgelora.tui.markdown_rows import GrowingMarkdown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from textual.geometry import Size
    from textual.selection import Selection

    from edgelora.tui.rows import Line, Piece

MARKED = "on $accent 35%"

Spans = list[tuple[Style | str, int, int]]
"""Styles, and where in the text of a row they begin and end."""


class StreamedMarkdown(Widget):
    """As high as its text, and a little higher while more comes.

    Places in its text, as selections have them, are of the row (y) and of the character in the row's text (x), so that
    they hold whatever its width is.
    """

    DEFAULT_CSS = "StreamedMarkdown { height: auto; width: 1fr; }"

    def __init__(self, text: str = "", *, spare_lines: int = 0) -> None:
        """``spare_lines`` are laid out ahead, because a change of height lays the whole screen out again."""
        super().__init__()
        self._markdown = GrowingMarkdown()
        self._spare_lines = spare_lines
        self.marks: Mapping[int, Sequence[tuple[int, int]]] = {}
        self._lines: list[tuple[int, Line]] = []  # after the rows that they belong to
        self._begins: list[int] = []  # the first line of each row
        self._strips: dict[int, Strip] = {}
        self._width = 0
        self._n_laid_out = 0
        if text:
            self._markdown.append(text)

    @property
    def source(self) -> str:
        """All of the text."""
        return self._markdown.source

    @property
    def texts(self) -> list[str]:
        """What is shown, row by row."""
        return [row.text for row in self._markdown.rows]

    def append(self, text: str) -> None:
        """More text."""
        changed = self._wrap_from(self._markdown.append(text))
        if len(self._lines) > self._n_laid_out:
            self._lay_out(len(self._lines) + self._spare_lines)
        else:
            self.refresh(Region(0, changed, self._width, self._n_laid_out - changed))

    def end(self) -> None:
        """No more text comes."""
        self._lay_out(len(self._lines))

    def mark(self, marks: Mapping[int, Sequence[tuple[int, int]]]) -> None:
        """Highlight these pieces of rows: row -> where they begin and end."""
        if marks != self.marks:
            self.marks = marks
            self._paint_again()

    def action_open_link(self, address: str) -> None:
        """A link was clicked on."""
        self.app.open_url(address)

    # --- what Textual asks for

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """In lines, for a width in cells."""
        if width != self._width:
            spare = self._n_laid_out - len(self._lines)
            self._width = width
            self._wrap_from(0)
            self._n_laid_out = len(self._lines) + spare
        return self._n_laid_out

    def render_line(self, y: int) -> Strip:
        """One line, painted once."""
        if y >= len(self._lines):
            return Strip.blank(self._width, self.visual_style.rich_style)
        if y not in self._strips:
            self._strips[y] = self._paint(*self._lines[y])
        return self._strips[y]

    def notify_style_update(self) -> None:
        """Colours have changed."""
        self._strips.clear()
        super().notify_style_update()

    def selection_updated(self, selection: Selection | None) -> None:
        """Other text is selected."""
        self._paint_again()

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """The selected text, unwrapped, and what comes after it."""
        selected = []
        for y, row in enumerate(self._markdown.rows):
            if (span := selection.get_span(y)) is not None:
                begin, end = span
                selected.append(row.copied(begin, len(row.text) if end < 0 else end))
        return "\n".join(selected), "\n"

    # --- lines

    def _lay_out(self, n_lines: int) -> None:
        self._n_laid_out = n_lines
        self.refresh(layout=True)

    def _wrap_from(self, row: int) -> int:
        """Wrap the rows from ``row`` on. Gives the first line that may be another."""
        if not self._width:
            return 0
        first = self._begins[row] if row < len(self._begins) else len(self._lines)
        del self._begins[row:], self._lines[first:]
        self._strips = {y: strip for y, strip in self._strips.items() if y < first}
        for index, each in enumerate(self._markdown.rows[row:], row):
            self._begins.append(len(self._lines))
            self._lines += [(index, line) for line in each.lines(self._width)]
        return first

    def _paint_again(self) -> None:
        self._strips.clear()
        self.refresh()

    def _paint(self, row: int, line: Line) -> Strip:
        ground = self.visual_style
        spans = self._spans(row)
        segments = [segment for piece in line.pieces for segment in _segments(piece, row, ground, spans)]
        cells = sum(segment.cell_length for segment in segments)
        if line.ground:
            ground += Style.parse(line.ground)
        left = Segment(" " * (self._width - cells), ground.rich_style)
        return Strip([*segments, left]).adjust_cell_length(self._width)

    def _spans(self, row: int) -> Spans:
        """What is marked and what is selected in a row."""
        spans: Spans = [(MARKED, begin, end) for begin, end in self.marks.get(row, ())]
        selected = self.text_selection.get_span(row) if self.text_selection else None
        if selected is not None:
            begin, end = selected
            style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
            spans.append((style, begin, len(self._markdown.rows[row].text) if end < 0 else end))
        return spans


def _segments(piece: Piece, row: int, ground: Style, spans: Spans) -> Iterator[Segment]:
    """A piece of a line, with the places of its characters for the mouse."""
    content, at = piece.content, piece.at
    if not piece.is_text:
        for text, style in content.render(ground, end=""):
            placed = style.rich_style_with_offset(at, row)
            yield from (Segment(cell, placed) for cell in text)
        return
    for added, begin, end in spans:
        if begin < at + len(content) and end > at:
            content = content.stylize(added, max(0, begin - at), end - at)
    for text, style in content.render(ground, end=""):
        yield Segment(text or " ", style.rich_style_with_offset(at, row))
        at += len(text)
