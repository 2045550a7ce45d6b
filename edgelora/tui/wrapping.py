"""Where lines of text break in a terminal: at spaces, and between characters that are written without spaces."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.cells import cell_len, split_graphemes

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPENING, _CLOSING = "「『（【《〈〔［｛", "」』）】》〉〕］｝、。，．！？：；・ー…"
_UNSPACED = "⺀-〿぀-ヿ㐀-䶿一-鿿豈-﫿＀-｠"
_WORD = re.compile(
    rf"[{re.escape(_OPENING)}]*[{_UNSPACED}][{re.escape(_CLOSING)}]*\s*|[^\s{_UNSPACED}]+[{re.escape(_CLOSING)}]*\s*|\s+"
)


def wrap(text: str, width: int) -> list[tuple[int, int]]:
    """Lines of at most ``width`` cells: where each begins and ends in ``text``, the spaces that it breaks at left out.

    What is too long for a line is cut between characters. Only a character wider than ``width`` makes a wider line.
    """
    lines, begin, used = [], 0, 0
    for word in _WORD.finditer(text):
        start = word.start()
        bare = word.group().rstrip()
        cells = cell_len(bare)
        if used and used + cells > width:
            lines.append((begin, start))
            begin = start
            used = 0
        if cells > width:
            for cut in _cuts(bare, width):
                lines.append((begin, start + cut))
                begin = start + cut
            cells = cell_len(text[begin : start + len(bare)])
        used += cells + len(word.group()) - len(bare)
    lines.append((begin, len(text)))
    return [(begin, begin + len(text[begin:end].rstrip())) for begin, end in lines]


def _cuts(word: str, width: int) -> Iterator[int]:
    """Where a word that begins a line has to be cut."""
    if word.isascii():
        yield from range(width, len(word), width)
        return
    used = 0
    for begin, _, cells in split_graphemes(word)[0]:
        if used and used + cells > width:
            yield begin
            used = 0
        used += cells
