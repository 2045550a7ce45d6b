"""Markdown as rows of styled text, read again only from the last two blocks on while it grows.

A widget a block, as Textual's Markdown has it, takes too long to lay out for several answers that stream at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content, Span
from textual.highlight import highlight

from edgelora.tui.theme import FAINT, QUIET
from edgelora.tui.widgets.parser import chat_parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

INLINE_STYLES = {"strong": "bold", "em": "italic", "s": "strike", "link": "underline"}
HEADING, CODE, CODE_BLOCK = "bold $primary", "on $panel", "on $surface"
BULLET = "• "
OPEN_BLOCKS = 2
"""Blocks at the end that more text can change: a rule of stars joins the paragraph before it once a word follows."""
QUOTE = "▌ "


@dataclass(frozen=True, slots=True)
class Row:
    """Text that is wrapped by itself; ``first`` is before its first line, ``rest`` before the others."""

    content: Content
    first: str = ""
    rest: str = ""
    is_code: bool = False

    def wrapped(self, width: int) -> list[Content]:
        """Its lines in ``width`` cells."""
        room = max(1, width - cell_len(self.first))
        lines = self.content.wrap(room)
        if self.is_code:
            lines = [line.pad_right(room - line.cell_length).stylize_before(CODE_BLOCK) for line in lines]
        if not self.first:
            return lines
        return [Content.assemble((self.rest if i else self.first, QUIET), line) for i, line in enumerate(lines)]


class GrowingMarkdown:
    """The rows of a text that grows at its end."""

    def __init__(self) -> None:
        self.source = ""
        self.rows: list[Row] = []
        self._parser = chat_parser()
        self._tail = ""  # from the last blocks of the document on, which may still change
        self._n_done = 0  # rows before it

    def append(self, text: str) -> int:
        """More text. Gives the first row that is not what it was."""
        self.source += text
        self._tail += text
        tokens = self._parser.parse(self._tail)
        first = self._n_done
        del self.rows[first:]
        begins = [i for i, token in enumerate(tokens) if token.level == 0 and token.map]
        last = begins[-OPEN_BLOCKS] if len(begins) > OPEN_BLOCKS else 0
        self._add(tokens[:last])
        self._n_done = len(self.rows)
        self._add(tokens[last:])
        if last:
            begin, _ = tokens[last].map or (0, 0)
            self._tail = "".join(self._tail.splitlines(keepends=True)[begin:])
        return first

    def _add(self, tokens: Sequence[Token]) -> None:
        for block in _blocks(tokens):
            if self.rows:
                self.rows.append(Row(Content()))
            self.rows.extend(_Writer().rows(block))


def _blocks(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The tokens of each block of the document."""
    begin = 0
    for i, token in enumerate(tokens, 1):
        if token.level == 0 and token.nesting <= 0:
            yield tokens[begin:i]
            begin = i


class _Writer:
    """Writes the rows of one block and what is nested in it."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._margins: list[tuple[str, str]] = []  # before the first line of what comes, and before others
        self._heading = False
        self._cells: list[list[Content]] = []

    def rows(self, tokens: Sequence[Token]) -> list[Row]:
        for token in tokens:
            self._take(token)
        return self._rows

    def _take(self, token: Token) -> None:
        match token.type:
            case "list_item_open" | "blockquote_open" | "list_item_close" | "blockquote_close":
                self._change_margin(token)
            case "heading_open" | "heading_close":
                self._heading = token.nesting > 0
            case "tr_open":
                self._cells.append([])
            case "table_close":
                self._write_table()
            case "inline" if self._cells:
                self._cells[-1].append(_inline(token))
            case "inline":
                content = _inline(token)
                self._write(content.stylize(HEADING) if self._heading else content)
            case "fence" | "code_block":
                code = highlight(token.content.rstrip("\n"), language=token.info.split(" ")[0] or "text")
                for line in code.split(allow_blank=True):
                    self._write(line, is_code=True)
            case "hr":
                self._write(Content.styled("───", FAINT))

    def _change_margin(self, token: Token) -> None:
        if token.nesting < 0:
            self._margins.pop()
        elif token.type == "blockquote_open":
            self._margins.append((QUOTE, QUOTE))
        else:
            mark = f"{token.info}. " if token.info else BULLET
            self._margins.append((mark, " " * len(mark)))

    def _write(self, content: Content, *, is_code: bool = False) -> None:
        first, rest = ("".join(parts) for parts in zip(*self._margins, strict=True)) if self._margins else ("", "")
        self._rows.append(Row(content, first, rest, is_code))
        self._margins = [(rest, rest) for _, rest in self._margins]

    def _write_table(self) -> None:
        n_columns = max(map(len, self._cells), default=0)
        widths = [max((row[i].cell_length for row in self._cells if i < len(row)), default=0) for i in range(n_columns)]
        for i, row in enumerate(self._cells):
            padded = [cell.pad_right(width - cell.cell_length) for cell, width in zip(row, widths, strict=False)]
            line = Content.styled(" │ ", FAINT).join(padded)
            self._write(line if i else line.stylize("bold"))
        self._cells = []


def _inline(token: Token) -> Content:
    """Styled text; line breaks stay."""
    text, spans, opened = "", list[Span](), list[tuple[str, int]]()
    for child in token.children or ():
        kind = child.type.removesuffix("_open").removesuffix("_close")
        if kind in INLINE_STYLES:
            if child.nesting > 0:
                opened.append((INLINE_STYLES[kind], len(text)))
            elif opened:
                style, begin = opened.pop()
                spans.append(Span(begin, len(text), style))
            continue
        added = "\n" if child.type in ("softbreak", "hardbreak") else child.content
        if child.type == "code_inline":
            spans.append(Span(len(text), len(text) + len(added), CODE))
        text += added
    return Content(text, spans)
