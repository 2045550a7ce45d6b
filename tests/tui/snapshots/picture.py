"""Pictures of the screen as SVG files: what is kept of one, and in what two of them differ.

They are compared by text and styles, cell by cell, so that ids, fonts, and how an SVG is written do not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from xml.etree import ElementTree

from rich.cells import cell_len

SVG = "{http://www.w3.org/2000/svg}"
CELL_WIDTH, LINE_HEIGHT = 12.2, 24.4
"""In the pixels of Rich's SVG (``Console.export_svg``)."""
FONTS = "Menlo, Consolas, DejaVu Sans Mono, monospace"
MADE_WITH = f"Textual {version('textual')}"


@dataclass(frozen=True)
class Cell:
    """What stands in one place: a character, its style, and the colour behind it. The right half of a wide character
    is empty."""

    text: str = " "
    ink: str = ""
    paper: str = ""

    @property
    def style(self) -> str:
        return f"{self.ink or 'plain'} on {self.paper or 'nothing'}"


Picture = list[list[Cell]]


def storable(svg: str) -> str:
    """``svg`` as it is kept: no id that changes with the content, and no font from elsewhere."""
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("font-family: Fira Code, monospace", f"font-family: Fira Code, {FONTS}")
    return re.sub(r"<!--.*?-->", f"<!-- Made with {MADE_WITH} by tests/tui/snapshots. -->", svg, count=1)


def made_with(svg: str) -> str:
    """Which version of Textual drew a kept picture."""
    found = re.search(r"<!-- Made with (.*?) by", svg)
    return found.group(1) if found else "another program"


def read(svg: str) -> Picture:
    """The cells of a picture, row by row."""
    root = ElementTree.fromstring(svg)
    styles = dict(re.findall(r"-(r\d+) \{ (.*?) \}", root.findtext(f".//{SVG}style", "")))
    screen, whole = root.findall(f"{SVG}g")[-1], root.find(f".//{SVG}clipPath/{SVG}rect")
    assert whole is not None
    columns, rows = round(_number(whole, "width") / CELL_WIDTH), round(_number(whole, "height") / LINE_HEIGHT)
    paper = {place: rect.get("fill", "") for rect in screen.findall(f"{SVG}rect") for place in _covered(rect)}
    written: dict[tuple[int, int], tuple[str, str]] = {}
    for text in screen.iter(f"{SVG}text"):
        style = styles[text.get("class", "").rpartition("-")[2]].replace(";;", ";").strip("; ")
        row, column = round((_number(text, "y") - 20) / LINE_HEIGHT), round(_number(text, "x") / CELL_WIDTH)
        for character in (text.text or "").replace("\xa0", " "):
            seen = style if character != " " or "decoration" in style else ""
            width = cell_len(character)
            if width == 0:  # belongs to the character before it
                before, its_style = written.get((row, column - 1), ("", seen))
                written[row, column - 1] = before + character, its_style
            for part in range(width):
                written[row, column + part] = ("" if part else character), seen
            column += width
    cells = [[(row, column) for column in range(columns)] for row in range(rows)]
    return [[Cell(*written.get(at, (" ", "")), paper.get(at, "")) for at in row] for row in cells]


def differences(before: Picture, after: Picture) -> list[str]:
    """What a person should read about how ``after`` differs from ``before``; nothing where it does not."""
    sizes = [f"{len(picture[0])}x{len(picture)}" for picture in (before, after)]
    if sizes[0] != sizes[1]:
        return [f"size: was {sizes[0]}, is {sizes[1]}"]
    pairs = enumerate(zip(before, after, strict=True), 1)
    return [line for number, (old, new) in pairs if old != new for line in _row_differences(number, old, new)]


def _row_differences(number: int, old: list[Cell], new: list[Cell]) -> list[str]:
    texts = ["".join(cell.text for cell in row).rstrip() for row in (old, new)]
    if texts[0] != texts[1]:
        return [f"row {number:>2} was {texts[0]}", f"       is  {texts[1]}"]
    pairs = zip(old, new, strict=True)
    runs = ((styles, list(run)) for styles, run in groupby(pairs, key=lambda pair: (pair[0].style, pair[1].style)))
    return [
        f"row {number:>2} {''.join(cell.text for cell, _ in run)!r}: was {was}, is {now}"
        for (was, now), run in runs
        if was != now
    ]


def _covered(rect: ElementTree.Element) -> list[tuple[int, int]]:
    row, first = round((_number(rect, "y") - 1.5) / LINE_HEIGHT), round(_number(rect, "x") / CELL_WIDTH)
    return [(row, first + i) for i in range(round(_number(rect, "width") / CELL_WIDTH))]


def _number(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name, "0"))
