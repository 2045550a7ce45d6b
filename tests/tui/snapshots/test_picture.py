"""Pictures are read back as what was on the screen, and differ in what a person sees only."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.tui.snapshots.picture import differences, made_with, read, storable

HERE = Path(__file__).parent


def draw(*lines: Text | str, width: int = 20, title: str = "one") -> str:
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, end="\n" if line is not lines[-1] else "")
    return console.export_svg(title=title)


def test_text_and_styles_are_read_back() -> None:
    (row, second) = read(draw(Text("a 漢字 é", "bold red on #102030"), "plain"))
    assert "".join(cell.text for cell in row).rstrip() == "a 漢字 é"
    assert (row[0].text, row[0].ink, row[0].paper) == ("a", "fill: #cc555a;font-weight: bold", "#102030")
    assert [cell.text for cell in row[2:6]] == ["漢", "", "字", ""]
    assert (row[1].ink, row[1].paper) == ("", "#102030")
    assert "".join(cell.text for cell in second).rstrip() == "plain"
    combining = read(draw("e\u0301x"))[0]
    assert [cell.text for cell in combining[:2]] == ["e\u0301", "x"]


def test_equal_screens_are_equal_however_they_were_drawn() -> None:
    whole, parts = draw(Text("one two", "red")), draw(Text.assemble(("one ", "red"), ("two", "red")), title="two")
    assert whole != parts
    assert not differences(read(whole), read(parts))
    kept = storable(whole)
    assert not differences(read(kept), read(parts))
    assert "http" not in re.sub(r'xmlns="\S+"', "", kept)
    assert made_with(kept).startswith("Textual ")
    assert storable(kept) == kept


def test_differences_are_told_by_row() -> None:
    before = read(draw("first", Text("second", "red"), "third"))
    assert differences(before, read(draw("first", Text("second", "red"), "thirst"))) == [
        "row  3 was third",
        "       is  thirst",
    ]
    (said,) = differences(before, read(draw("first", Text.assemble(("sec", "red"), ("ond", "blue")), "third")))
    assert said.startswith("row  2 'ond': was fill: #cc555a on nothing, is fill: #")
    assert differences(before, read(draw("first", width=30))) == ["size: was 20x3, is 30x1"]


def test_every_kept_picture_has_its_test() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    tests = set(re.findall(r"^async def test_(\w+)\(picture", sources, re.MULTILINE))
    kept = [path.stem for path in (HERE / "kept").glob("*.svg")]
    assert [name for name in kept if not any(name == test or name.startswith(f"{test}_") for test in tests)] == []
