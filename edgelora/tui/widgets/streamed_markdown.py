"""Markdown that is painted line by line: what was painted before is neither read nor laid out again."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from textual.geometry import Region
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from edgelora.tui.markdown_rows import GrowingMarkdown
from edgelora.tui.painting import paint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.geometry import Size
    from textual.selection import Selection

    from edgelora.tui.rows import Line

MARKED = "on $accent 35%"

Spans = list[tuple[Style | str, int, int]]
"""Styles, and where in the text of a row they begin and end."""


def next_step(n_lines: int, step: int) -> int:
    """The next multiple of ``step`` beyond ``n_lines``: however often an answer is painted, it grows by the same."""
    return (n_lines // step + 1) * step


class StreamedMarkdown(Widget):
    """As high as its text, or as it is told to be while more comes: every change of height lays the screen out again.

    Places in its text, as selections have them, are of the row (y) and of the character in the row's text (x), so that
    they hold whatever its width is.
    """

    DEFAULT_CSS = "StreamedMarkdown { height: auto; width: 1fr; }"

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._markdown = GrowingMarkdown()
        self.marks: Mapping[int, Sequence[tuple[int, int]]] = {}
        self._lines: list[tuple[int, Line]] = []  # after the rows that they belong to
        self._begins: list[int] = []  # the first line of each row
        self._strips: dict[int, Strip] = {}
        self._width = 0
        self._n_laid_out = 0
        self._grows = False
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

    @property
    def n_lines(self) -> int:
        """What its text takes."""
        return len(self._lines)

    def append(self, text: str) -> bool:
        """More text. Gives whether it has become too high for what is laid out."""
        changed = self._wrap_from(self._markdown.append(text))
        if changed:
            self.refresh(Region(0, changed.start, self._width, len(changed)))
        return self.n_lines > self._n_laid_out

    def lay_out(self, n_lines: int) -> None:
        """Be so high until :meth:`end`."""
        self._grows, self._n_laid_out = True, n_lines
        self.refresh(layout=True)

    def end(self) -> None:
        """Be as high as the text; no more comes."""
        self._grows = False
        self.refresh(layout=True)

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
        if not self._grows:
            self._wrap_in(width)
            self._n_laid_out = self.n_lines
        return self._n_laid_out

    def on_resize(self) -> None:
        """While more comes its height is told, and only this tells its width."""
        self._wrap_in(self.content_size.width)
        self.refresh()
        if self.n_lines > self._n_laid_out:
            self.lay_out(self.n_lines)

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

    def _wrap_in(self, width: int) -> None:
        if width != self._width:
            self._width = width
            self._strips.clear()
            self._wrap_from(0)

    def _wrap_from(self, row: int) -> range:
        """Wrap the rows from ``row`` on. Gives the lines that are others than before."""
        if not self._width:
            return range(0)
        first = self._begins[row] if row < len(self._begins) else len(self._lines)
        before = self._lines[first:]
        del self._begins[row:], self._lines[first:]
        for index, each in enumerate(self._markdown.rows[row:], row):
            self._begins.append(len(self._lines))
            self._lines += [(index, line) for line in each.lines(self._width)]
        now = self._lines[first:]
        n_same = sum(1 for _ in takewhile(_is_same, zip(before, now, strict=False)))
        changed = range(first + n_same, first + max(len(before), len(now)))
        for y in changed:
            self._strips.pop(y, None)
        return changed

    def _paint_again(self) -> None:
        self._strips.clear()
        self.refresh()

    def _paint(self, row: int, line: Line) -> Strip:
        return paint(line, row, self._width, self.visual_style, self._spans(row))

    def _spans(self, row: int) -> Spans:
        """What is marked and what is selected in a row."""
        spans: Spans = [(MARKED, begin, end) for begin, end in self.marks.get(row, ())]
        selected = self.text_selection.get_span(row) if self.text_selection else None
        if selected is not None:
            begin, end = selected
            style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
            spans.append((style, begin, len(self._markdown.rows[row].text) if end < 0 else end))
        return spans


def _is_same(lines: tuple[tuple[int, Line], tuple[int, Line]]) -> bool:
    """Whether a line looks as another, of the same row."""
    (row, before), (other_row, now) = lines
    if row != other_row or before.ground != now.ground or len(before.pieces) != len(now.pieces):
        return False
    pieces = zip(before.pieces, now.pieces, strict=True)
    return all(a.at == b.at and a.is_text == b.is_text and a.content.is_same(b.content) for a, b in pieces)
