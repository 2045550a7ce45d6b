"""Markdown that is painted line by line: what was painted before is neither read nor laid out again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from edgelora.tui.markdown_rows import GrowingMarkdown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.content import Content
    from textual.geometry import Size

SPARE_LINES = 6
"""Lines that are laid out ahead, because every change of height lays the whole screen out again."""
MARKED = "on $accent 35%"


class StreamedMarkdown(Widget):
    """As high as its text, and a little higher while more comes."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "StreamedMarkdown { height: auto; width: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._markdown = GrowingMarkdown()
        self.marks: Mapping[int, Sequence[tuple[int, int]]] = {}
        self._lines: list[Content] = []
        self._begins: list[int] = []  # the first line of each row
        self._strips: dict[int, Strip] = {}
        self._width = 0
        self._n_laid_out = 0

    @property
    def source(self) -> str:
        """All of the text."""
        return self._markdown.source

    @property
    def texts(self) -> list[str]:
        """What is shown, row by row."""
        return [row.content.plain for row in self._markdown.rows]

    def append(self, text: str) -> None:
        """More text."""
        changed = self._wrap_from(self._markdown.append(text))
        if len(self._lines) > self._n_laid_out:
            self._lay_out(len(self._lines) + SPARE_LINES)
        else:
            self.refresh(Region(0, changed, self._width, self._n_laid_out - changed))

    def end(self) -> None:
        """No more text comes."""
        self._lay_out(len(self._lines))

    def mark(self, marks: Mapping[int, Sequence[tuple[int, int]]]) -> None:
        """Highlight these pieces of rows: row -> where they begin and end. Wrapping stays."""
        if marks != self.marks:
            self.marks = marks
            self._wrap_from(0)
            self.refresh()

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
            self._strips[y] = Visual.to_strips(self, self._lines[y], self._width, 1, self.visual_style)[0]
        return self._strips[y]

    def notify_style_update(self) -> None:
        """Colours have changed."""
        self._strips.clear()
        super().notify_style_update()

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
            content = each.content
            for begin, end in self.marks.get(index, ()):
                content = content.stylize(MARKED, begin, end)
            self._lines += replace(each, content=content).wrapped(self._width)
        return first
