"""Tables as rows. Where a table is too wide its widest columns become narrower, and their cells wrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.content import Content

from edgelora.tui.rows import Line, Piece, Text
from edgelora.tui.theme import FAINT
from edgelora.tui.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

Alignment = Literal["left", "center", "right"]
SEPARATOR, CROSSING = " │ ", "─┼─"
LEAST_WIDTH = 4
"""Cells of a column; a table that would need narrower ones is written as lines."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, the first of them the head, which says how many columns there are."""

    rows: Sequence[Sequence[Content]]
    alignments: Sequence[Alignment]

    def widths(self, width: int) -> list[int]:
        """Of the columns, for a table of at most ``width`` cells; none where it has too many columns."""
        natural = [max(row[i].cell_length for row in self.rows) for i in range(len(self.alignments))]
        room = width - len(SEPARATOR) * (len(natural) - 1)
        if room < min(LEAST_WIDTH * len(natural), sum(natural)):
            return []
        limit = max(natural)
        for n_before, each in enumerate(sorted(natural)):
            share = room // (len(natural) - n_before)
            if each > share:
                limit = share
                break
            room -= each
        return [min(each, limit) for each in natural]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table."""

    table: Table
    index: int

    @property
    def content(self) -> Content:
        """Its cells, one after the other."""
        return Content.styled(SEPARATOR, FAINT).join(self.table.rows[self.index])

    @property
    def text(self) -> str:
        """Its cells, one after the other."""
        return self.content.plain

    def lines(self, width: int) -> list[Line]:
        """Its cells side by side, under the head a line across, and between rows too where cells wrap."""
        widths = self.table.widths(width)
        if not widths:
            return Text(self.content).lines(width)
        cells = self.table.rows[self.index]
        wrapped = [wrap(cell.plain, room) for cell, room in zip(cells, widths, strict=True)]
        lines = [self._line(wrapped, widths, i) for i in range(max(map(len, wrapped)))]
        is_last = self.index == len(self.table.rows) - 1
        if self.index == 0 or (not is_last and _wraps(self.table, widths)):
            rule = CROSSING.join("─" * each for each in widths)
            lines.append(Line([Piece(Content.styled(rule, FAINT), len(self.text))]))
        return lines

    def copied(self, begin: int, end: int) -> str:
        """As it stands."""
        return self.text[begin:end]

    def _line(self, wrapped: Sequence[Sequence[tuple[int, int]]], widths: Sequence[int], number: int) -> Line:
        pieces: list[Piece] = []
        at = 0
        for cell, parts, room, alignment in zip(
            self.table.rows[self.index], wrapped, widths, self.table.alignments, strict=True
        ):
            if pieces:
                pieces.append(Piece(Content.styled(SEPARATOR, FAINT), at, is_text=False))
                at += len(SEPARATOR)
            begin, end = parts[number] if number < len(parts) else (len(cell), len(cell))
            shown = cell[begin:end]
            spare = room - shown.cell_length
            before = {"left": 0, "center": spare // 2, "right": spare}[alignment]
            pieces.append(Piece(Content(" " * before), at + begin, is_text=False))
            pieces.append(Piece(shown, at + begin))
            pieces.append(Piece(Content(" " * (spare - before)), at + end, is_text=False))
            at += len(cell)
        return Line(pieces)


def _wraps(table: Table, widths: Sequence[int]) -> bool:
    return any(cell.cell_length > room for row in table.rows for cell, room in zip(row, widths, strict=True))
