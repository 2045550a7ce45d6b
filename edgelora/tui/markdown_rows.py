"""Markdown as rows of styled text, read again only from the last two blocks on while it grows.

A widget a block, as Textual's Markdown has it, takes too long to lay out: for several answers that stream at once, and
for a conversation that is scrolled through.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from textual.content import Content

from edgelora.tui.markdown_writer import Writer
from edgelora.tui.rows import Row, Text
from edgelora.tui.widgets.parser import chat_parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

OPEN_BLOCKS = 2
"""Blocks at the end that more text can change: a rule of stars joins the paragraph before it once a word follows."""
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""What could do something to the terminal, or begin a line where Markdown sees none."""


class GrowingMarkdown:
    """The rows of a text that grows at its end. Control characters are shown as such, carriage returns left out."""

    def __init__(self) -> None:
        self.source = ""
        self.rows: list[Row] = []
        self._parser = chat_parser()
        self._tail = ""  # from the last blocks of the document on, which may still change
        self._n_done = 0  # rows before it

    def append(self, text: str) -> int:
        """More text. Gives the first row that is not what it was."""
        self.source += text
        self._tail += CONTROLS.sub("\ufffd", text.replace("\r", ""))
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
            rows = Writer().rows(block)
            if self.rows and rows:
                self.rows.append(Row(Text(Content())))
            self.rows.extend(rows)


def _blocks(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The tokens of each block of the document."""
    begin = 0
    for i, token in enumerate(tokens, 1):
        if token.level == 0 and token.nesting <= 0:
            yield tokens[begin:i]
            begin = i
