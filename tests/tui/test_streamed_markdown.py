"""Markdown on the screen: selected, copied and clicked on."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Offset

from edgelora.tui.theme import THEMES
from edgelora.tui.widgets.streamed_markdown import StreamedMarkdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.pilot import Pilot
    from textual.strip import Strip

TEXT = """Some **words** before

- 漢字 and 👍🏽 and a [link](http://example.org/it's)
- two

```python
if x:
\tpass
```"""
FIRST_ITEM, SECOND_ITEM, CODE_LINE = 2, 3, 6
"""Lines of it where all of them fit."""


class Page(App[None]):
    """One text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.markdown = StreamedMarkdown(text)
        self.opened: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.markdown

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)

    def open_url(self, url: str, *, new_tab: bool = True) -> None:
        self.opened.append(url)


async def drag(pilot: Pilot[None], begin: tuple[int, int], end: tuple[int, int]) -> str:
    """Select with the mouse from one place to another, x before y; gives what would be copied."""
    await pilot.mouse_down(offset=begin)
    await pilot.hover(offset=end)
    await pilot.mouse_up(offset=end)
    await pilot.pause()
    return pilot.app.screen.get_selected_text() or ""


def painted(page: Page) -> list[str]:
    return [page.markdown.render_line(y).text.rstrip() for y in range(page.markdown.size.height)]


async def test_text_is_selected_with_the_mouse_and_copied_as_it_was_written() -> None:
    page = Page(TEXT)
    async with page.run_test(size=(60, 20)) as pilot:
        assert await drag(pilot, (5, 0), (9, 0)) == "words"
        assert await drag(pilot, (4, FIRST_ITEM), (7, FIRST_ITEM)) == "字 a"
        assert await drag(pilot, (0, SECOND_ITEM), (59, CODE_LINE)) == "• two\n\nif x:\n\tpass"
        assert await drag(pilot, (59, CODE_LINE), (3, CODE_LINE - 1)) == " x:\n\tpass"


async def test_a_selection_is_painted_and_stays_on_its_words_in_another_width() -> None:
    page = Page("one two three four five")
    async with page.run_test(size=(60, 20)) as pilot:
        assert await drag(pilot, (4, 0), (12, 0)) == "two three"
        assert selected(page) == ["two three"]
        await pilot.resize_terminal(9, 20)
        await pilot.pause()
        assert painted(page) == ["one two", "three", "four five"]
        assert selected(page) == ["two", "three"]
        page.screen.clear_selection()
        await pilot.pause()
        assert selected(page) == []


def selected(page: Page) -> list[str]:
    """What is painted as selected, line by line."""
    ground = page.screen.get_component_rich_style("screen--selection").bgcolor
    strips = [page.markdown.render_line(y) for y in range(page.markdown.size.height)]
    return [text for strip in strips if (text := on_ground(strip, ground).rstrip())]


def on_ground(strip: Strip, ground: object) -> str:
    return "".join(segment.text for segment in strip if segment.style and segment.style.bgcolor == ground)


async def test_a_link_is_opened_by_a_click() -> None:
    page = Page(TEXT)
    async with page.run_test(size=(60, 20)) as pilot:
        column = painted(page)[FIRST_ITEM].index("link") + 4  # three characters before it are wide
        await pilot.click(offset=(column, FIRST_ITEM))
        await pilot.pause()
        assert page.opened == ["http://example.org/it's"]


@pytest.mark.parametrize("width", [1, 2, 7, 60])
async def test_every_line_is_as_wide_as_the_widget(width: int) -> None:
    page = Page(TEXT + "\n\n| 漢字 | b |\n|---|---|\n| e\u0301 | سلام |\n\n> ❤\ufe0f 👩‍👩‍👧\n\n---")
    async with page.run_test(size=(width, 300)):
        strips = [page.markdown.render_line(y) for y in range(page.markdown.size.height)]
        assert {strip.cell_length for strip in strips} == {width}
        assert len({cell_length(strip) for strip in strips}) == 1


def cell_length(strip: Strip) -> int:
    return sum(segment.cell_length for segment in strip)


async def test_a_change_of_theme_changes_colours_that_are_painted() -> None:
    page = Page(TEXT)
    async with page.run_test(size=(60, 20)) as pilot:
        seen: list[Sequence[object]] = []
        for theme in THEMES:
            page.theme = theme.name
            await pilot.pause()
            seen.append([segment.style for segment in page.markdown.render_line(CODE_LINE - 1)])
        assert all(before != after for before, after in pairwise(seen))


async def test_text_that_comes_bit_by_bit_is_painted_as_the_whole() -> None:
    page, whole = Page(""), Page(TEXT)
    async with whole.run_test(size=(20, 30)):
        expected = painted(whole)
    async with page.run_test(size=(20, 30)) as pilot:
        for begin in range(0, len(TEXT), 7):
            if page.markdown.append(TEXT[begin : begin + 7]):
                page.markdown.lay_out(page.markdown.n_lines + 2)
            await pilot.pause()
            painted(page)
        page.markdown.end()
        await pilot.pause()
        assert painted(page) == expected


async def test_all_of_it_is_selected_by_two_clicks() -> None:
    page = Page("one\n\ntwo")
    async with page.run_test(size=(20, 30)) as pilot:
        await pilot.click(page.markdown, offset=Offset(1, 0), times=2)
        await pilot.pause()
        assert page.screen.get_selected_text() == "one\n\ntwo"
