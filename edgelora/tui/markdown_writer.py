"""The rows of one block of Markdown and of what is nested in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.content import Content, Span
from textual.highlight import highlight
from textual.style import Style

from edgelora.tui.code_colours import CodeColours
from edgelora.tui.rows import TAB_SIZE, Body, Code, Row, Rule, Text
from edgelora.tui.table_rows import Table, TableRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

    from edgelora.tui.table_rows import Alignment

INLINE_STYLES = {"strong": "bold", "em": "italic", "s": "strike"}
HEADINGS = {"h1": "bold underline $primary", "h2": "bold $primary", "h3": "bold"}
HEADING, CODE = "bold $foreground 80%", "$text-warning on $panel"
BULLETS = "•◦▪"
QUOTE = "▌ "


class Writer:
    """Writes one block."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._margins: list[tuple[str, str]] = []  # before the first line of what comes, and before others
        self._begins = True  # nothing was written yet in the innermost quote or item
        self._n_bullet_lists = 0
        self._number_widths: list[int] = []  # of the ordered lists around
        self._heading = ""
        self._cells: list[list[Content]] = []
        self._alignments: list[Alignment] = []

    def rows(self, tokens: Sequence[Token]) -> list[Row]:
        """Of a block's tokens."""
        for i, token in enumerate(tokens):
            self._open_or_close(token, tokens[i + 1 :])
            self._take(token)
        return self._rows

    def _open_or_close(self, token: Token, following: Sequence[Token]) -> None:
        match token.type:
            case "bullet_list_open" | "bullet_list_close":
                self._n_bullet_lists += token.nesting
            case "ordered_list_open":
                self._number_widths.append(_number_width(token, following))
            case "ordered_list_close":
                self._number_widths.pop()
            case "list_item_open":
                if following[0].type == "paragraph_open" and not following[0].hidden:
                    self._separate()
                mark = self._mark(token)
                self._margins.append((mark, " " * len(mark)))
                self._begins = True
            case "blockquote_open":
                self._separate()
                self._margins.append((QUOTE, QUOTE))
                self._begins = True
            case "list_item_close" | "blockquote_close":
                if self._begins:
                    self._write(Text(Content()))
                self._margins.pop()

    def _take(self, token: Token) -> None:
        match token.type:
            case "paragraph_open" if not token.hidden:
                self._separate()
            case "heading_open":
                self._separate()
                self._heading = HEADINGS.get(token.tag, HEADING)
            case "heading_close":
                self._heading = ""
            case "tr_open":
                self._cells.append([])
            case "th_open":
                _, _, alignment = str(token.attrs.get("style", "")).partition(":")
                self._alignments.append(cast("Alignment", alignment or "left"))
            case "table_close":
                self._write_table()
            case "inline":
                self._write_inline(_inline(token))
            case "fence" | "code_block":
                self._separate()
                self._write_code(token)
            case "hr":
                self._separate()
                self._write(Rule())

    def _mark(self, token: Token) -> str:
        """Before an item: its number, or a bullet that tells how deep it is."""
        if token.info:
            return f"{token.info}{token.markup} ".rjust(self._number_widths[-1] + 2)
        return f"{BULLETS[(self._n_bullet_lists - 1) % len(BULLETS)]} "

    def _separate(self) -> None:
        """An empty row between two blocks of one quote or item."""
        if not self._begins:
            self._write(Text(Content()))

    def _write(self, body: Body) -> None:
        first, rest = ("".join(parts) for parts in zip(*self._margins, strict=True)) if self._margins else ("", "")
        self._rows.append(Row(body, first, rest))
        self._margins = [(rest, rest) for _, rest in self._margins]
        self._begins = False

    def _write_inline(self, content: Content) -> None:
        if self._cells:
            self._cells[-1].append(content)
            return
        for line in content.split(allow_blank=True):
            self._write(Text(line.stylize(self._heading) if self._heading else line))

    def _write_code(self, token: Token) -> None:
        code = token.content.rstrip("\n")
        language = token.info.split(" ")[0] or "text"
        coloured = highlight(code.expandtabs(TAB_SIZE), language=language, theme=CodeColours)
        for line, source in zip(coloured.split(allow_blank=True), code.split("\n"), strict=True):
            self._write(Code(line, source))

    def _write_table(self) -> None:
        self._separate()
        head, *others = self._cells
        n_columns = len(self._alignments)
        padded = [[*cells, *[Content()] * n_columns][:n_columns] for cells in others]
        table = Table([[cell.stylize("bold") for cell in head], *padded], self._alignments)
        for index in range(len(table.rows)):
            self._write(TableRow(table, index))
        self._cells, self._alignments = [], []


def _number_width(token: Token, following: Sequence[Token]) -> int:
    """Of the longest number in the ordered list that ``token`` begins."""
    width = 0
    for each in following:
        if each.level == token.level:
            break
        if each.level == token.level + 1 and each.type == "list_item_open":
            width = max(width, len(each.info))
    return width


def _inline(token: Token) -> Content:
    """Styled text; line breaks stay, and a link knows where it leads."""
    text, spans, opened = "", list[Span](), list[tuple[str | Style, int]]()
    for child in token.children or ():
        kind = child.type.removesuffix("_open").removesuffix("_close")
        if kind == "link" or kind in INLINE_STYLES:
            if child.nesting > 0:
                opened.append((_link(child.attrs.get("href")) if kind == "link" else INLINE_STYLES[kind], len(text)))
            elif opened:
                style, begin = opened.pop()
                spans.append(Span(begin, len(text), style))
            continue
        added = "\n" if child.type in ("softbreak", "hardbreak") else child.content.replace("\t", " ")
        if child.type == "code_inline":
            spans.append(Span(len(text), len(text) + len(added), CODE))
        elif child.type == "image":
            spans.append(Span(len(text), len(text) + len(added), _link(child.attrs.get("src"))))
        text += added
    return Content(text, spans)


def _link(address: object) -> Style:
    return Style(underline=True) + Style.from_meta({"@click": f"open_link({address!r})"})
