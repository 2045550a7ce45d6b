"""Messages drawn by one widget: they look as an answer does that is being made, and stay where they are."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from support.fake_engine import FakeEngine
from textual.app import App, ComposeResult
from textual.geometry import Offset

from edgelora.chat.tree import Exchange
from edgelora.tui.theme import THEMES, TINT_DEFAULTS
from edgelora.tui.widgets.items import AnswerItem, MessageItem, PromptItem
from edgelora.tui.widgets.messages import KEPT, Messages
from edgelora.tui.widgets.transcript import Transcript
from edgelora.types import Finished
from tests.tui.driving import Driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rich.segment import Segment
    from textual.pilot import Pilot

MADE_BY = Finished("r", "stop", (), 10, 0, 5, 12.5, 80.0)
TEXT = """Some **words** before, and more of them than go into one line of a narrow terminal

- 漢字 and 👍🏽 and a [link](http://example.org/it's)
- שלום and مرحبا

```python
if x:
\tpass
```

| a | b |
|---|---|
| e\u0301 | ❤\ufe0f |"""


class Page(App[None]):
    """A transcript."""

    CSS_PATH = "../../edgelora/tui/styles.tcss"

    def __init__(self) -> None:
        super().__init__()
        self.transcript = Transcript(lambda exchange: True, id="transcript")
        self.opened: list[str] = []
        self.wished: list[tuple[str, Exchange]] = []

    def compose(self) -> ComposeResult:
        yield self.transcript

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return TINT_DEFAULTS

    def open_url(self, url: str, *, new_tab: bool = True) -> None:
        self.opened.append(url)

    def on_transcript_wished(self, message: Transcript.Wished) -> None:
        self.wished.append((message.wish, message.exchange))

    @property
    def cells(self) -> list[list[tuple[str, str]]]:
        """What is painted: every cell with its look."""
        strips = self.screen._compositor.render_strips()
        return [[(cell, _look(segment)) for segment in strip for cell in segment.text] for strip in strips]

    @property
    def lines(self) -> list[str]:
        """The transcript's lines, as text."""
        region = self.transcript.scrollable_content_region
        strips = self.screen._compositor.render_strips()[region.y : region.bottom]
        return [strip.crop(region.x, region.right).text.rstrip() for strip in strips]

    def at(self, text: str) -> tuple[int, int]:
        """Where the first cell of ``text`` is."""
        strips = self.screen._compositor.render_strips()
        y, line = next((y, strip.text) for y, strip in enumerate(strips) if text in strip.text)
        return cell_len(line[: line.index(text)]), y


def _look(segment: Segment) -> str:
    return str(segment.style.clear_meta_and_links()) if segment.style else ""


@asynccontextmanager
async def page(size: tuple[int, int] = (60, 30)) -> AsyncIterator[tuple[Page, Pilot[None]]]:
    app = Page()
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        yield app, pilot


async def settled(pilot: Pilot[None]) -> None:
    """Wait until nothing is left to lay out and to paint."""
    driver = Driver(pilot.app, pilot, FakeEngine())  # type: ignore[arg-type]
    await driver.settled()


def conversation(n_messages: int, seed: int = 1) -> list[MessageItem]:
    """Short and long ones; every line of them is another."""
    chance = random.Random(seed)
    items: list[MessageItem] = []
    for i in range(n_messages // 2):
        prompt = "\n".join(f"prompt {i}.{n}" for n in range(chance.choice((1, 1, 1, 3, 20))))
        answer = "\n\n".join(f"answer {i}.{n} " + "word " * chance.randrange(30) for n in range(chance.randrange(9)))
        exchange = Exchange(prompt, "base", answer=answer, made_by=MADE_BY)
        items += [PromptItem(prompt, exchange), AnswerItem(exchange, "base", None)]
    return items


async def whole(items: list[MessageItem], width: int) -> list[str]:
    """All lines of the messages, on a screen that is high enough."""
    async with page((width, 1500)) as (app, pilot):
        await app.transcript.show(items)
        await settled(pilot)
        [messages] = app.transcript.query(Messages)
        lines = [messages.render_line(y).text.rstrip() for y in range(messages.size.height)]
        assert len(lines) < 1490
        return lines


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
@pytest.mark.parametrize(("width", "tint"), [(24, None), (150, 3)])
async def test_an_answer_looks_the_same_when_it_is_complete(width: int, tint: int | None, theme: str) -> None:
    async with page((width, 60)) as (app, pilot):
        app.theme = theme
        exchange = Exchange("First", "base", answer=TEXT, made_by=MADE_BY)
        await app.transcript.add_prompt("First\n\n  ask 漢字")
        answer = await app.transcript.add_answer(exchange, "base", tint, 2, 3)
        await answer.write(TEXT)
        await answer.finish(MADE_BY)
        await settled(pilot)
        before = app.cells
        assert "‹ 2/3 ›" in "\n".join(app.lines)
        await app.transcript.settle()
        await settled(pilot)
        assert app.cells == before
        assert [type(child) for child in app.transcript.children] == [Messages]


@pytest.mark.parametrize(
    "seed", [0, 2, 20, *(pytest.param(n, marks=pytest.mark.slow) for n in range(40) if n not in (0, 2, 20))]
)
async def test_what_is_shown_is_a_part_of_the_whole_wherever_one_goes(seed: int) -> None:
    chance = random.Random(seed)
    items = conversation(40, seed)
    lines = await whole(items, 49)  # there is no scrollbar
    async with page((50, 20)) as (app, pilot):
        app.transcript.focus()
        await app.transcript.show(items)
        await settled(pilot)
        height = len(app.lines)
        at = len(lines) - height
        assert app.lines == lines[at:]
        for _ in range(12):
            key = chance.choice(("pageup", "pageup", "pagedown", "home", "end", "up", "down"))
            await pilot.press(key)
            await settled(pilot)
            seen = app.lines
            shown = [start for start in range(len(lines)) if lines[start : start + height] == seen]
            page_further = {"pageup": max(0, at - height + 2), "pagedown": min(at + height - 2, len(lines) - height)}
            match key:
                case "home":
                    assert 0 in shown
                case "end":
                    assert len(lines) - height in shown
                case "pageup" | "pagedown":
                    assert page_further[key] in shown
            at = page_further.get(key, shown[0])
            app.transcript.focus()


async def test_the_first_page_up_moves_by_a_page_however_wrong_the_estimates_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AnswerItem, "estimate", lambda self, width: 1)
    items = conversation(40, 3)
    lines = await whole(items, 49)
    async with page((50, 20)) as (app, pilot):
        app.transcript.focus()
        await app.transcript.show(items)
        await settled(pilot)
        height = len(app.lines)
        at = len(lines) - height
        for _ in range(4):
            assert app.lines == lines[at : at + height]
            app.transcript.action_page(-1)
            await settled(pilot)
            at -= height - 2


async def test_a_page_up_moves_by_a_page_above_an_answer_that_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnswerItem, "estimate", lambda self, width: 1)
    items = conversation(40, 3)
    lines = await whole(items, 49)
    async with page((50, 20)) as (app, pilot):
        app.transcript.focus()
        await app.transcript.show(items)
        answer = await app.transcript.add_answer(Exchange("x", "base"), "base", None, 1, 1)
        await answer.write("\n\n".join(f"line {n}" for n in range(12)))
        await settled(pilot)
        height = len(app.lines)
        for _ in range(6):
            before = app.lines
            app.transcript.action_page(-1)
            await settled(pilot)
            assert app.lines[-2:] == before[:2]
        assert "\n".join(app.lines) in "\n".join(lines)
        assert height == len(app.lines)


@pytest.mark.parametrize("n_left", [4, 60])
async def test_a_shorter_conversation_is_shown_instead_of_a_longer_one(n_left: int) -> None:
    for follows in (True, False):
        async with page((50, 20)) as (app, pilot):
            await app.transcript.show(conversation(200))
            await settled(pilot)
            if not follows:
                app.transcript.action_page(-1)
                await settled(pilot)
            await app.transcript.remove_from(n_left)
            await settled(pilot)
            assert any(line.startswith("▌") for line in app.lines)


async def test_a_page_down_at_the_end_stays_there() -> None:
    async with page((50, 20)) as (app, pilot):
        await app.transcript.show(conversation(40))
        await settled(pilot)
        app.transcript.action_page(1)
        await app.transcript.add_prompt("\n".join(f"more {n}" for n in range(40)))
        await settled(pilot)
        assert app.transcript.follows
        assert app.lines[-2] == "▌ more 39"


async def test_what_is_read_stays_where_it_is_in_another_width() -> None:
    items = conversation(200)
    async with page((80, 20)) as (app, pilot):
        await app.transcript.show(items)
        await settled(pilot)
        app.transcript.bring(items[100], top=True)
        await settled(pilot)
        top, _ = app.transcript.place_of(items[100])
        app.transcript.scroll_to(y=top, animate=False, immediate=True)
        await settled(pilot)
        assert app.lines[0] == "▌ prompt 50.0"
        for width in (30, 120):
            await pilot.resize_terminal(width, 20)
            await settled(pilot)
            assert app.lines[0] == "▌ prompt 50.0"


async def test_the_end_is_followed_until_somebody_scrolls_up() -> None:
    items = conversation(40)
    async with page((50, 20)) as (app, pilot):
        await app.transcript.show(items)
        await app.transcript.add_prompt("the last one")
        await settled(pilot)
        assert app.lines[-2:] == ["▌ the last one", ""]
        app.transcript.action_page(-1)
        await settled(pilot)
        before = app.lines
        await app.transcript.add_remark("warning", "something\nelse")
        await settled(pilot)
        assert app.lines == before


async def test_only_what_was_seen_last_is_kept() -> None:
    items = conversation(400)
    async with page((50, 20)) as (app, pilot):
        await app.transcript.show(items)
        await settled(pilot)
        [messages] = app.transcript.query(Messages)
        for where in range(0, 400, 40):
            app.transcript.bring(items[where], top=True)
            await settled(pilot)
            assert len(messages._drawings) <= KEPT
        assert len(app.transcript.children) == 1


async def drag(app: Page, pilot: Pilot[None], begin: str, end: str) -> str:
    """Select from one text to another with the mouse; gives what would be copied."""
    await pilot.mouse_down(offset=app.at(begin))
    await pilot.hover(offset=app.at(end))
    await pilot.mouse_up(offset=app.at(end))
    await settled(pilot)
    return app.screen.get_selected_text() or ""


async def test_text_is_selected_over_messages_and_copied_as_it_was_written() -> None:
    exchange = Exchange("ask me\nmore", "base", answer=TEXT, made_by=MADE_BY)
    items = [PromptItem(exchange.prompt, exchange), AnswerItem(exchange, "base", None)]
    async with page((60, 40)) as (app, pilot):
        await app.transcript.show(items)
        await settled(pilot)
        [messages] = app.transcript.query(Messages)
        place = Offset(*app.at("more of")) - messages.region.offset
        await pilot.click(messages, offset=place, times=2)
        await settled(pilot)
        selected = app.screen.get_selected_text() or ""
        assert selected.startswith("Some words before")
        assert "\tpass" in selected
        assert selected.endswith("5 tokens")
        assert await drag(app, pilot, "me", "words") == "me\nmore\n\nSome w"
        await pilot.click(offset=app.at("link"))
        assert app.opened == ["http://example.org/it's"]


async def test_a_click_on_the_arrows_asks_for_another_answer() -> None:
    exchange = Exchange("ask", "base", answer="yes", made_by=MADE_BY)
    items = [PromptItem("ask", exchange), AnswerItem(exchange, "base", None, 2, 3)]
    async with page() as (app, pilot):
        await app.transcript.show(items)
        await settled(pilot)
        x, y = app.at("‹ 2/3 ›")
        for offset in (0, 6, 12):
            await pilot.click(offset=(x + offset, y))
            await settled(pilot)
        assert app.wished == [("before", exchange), ("after", exchange)]


async def test_the_current_message_stands_out_while_keys_are_about_it() -> None:
    items = conversation(6)
    async with page((50, 40)) as (app, pilot):
        await app.transcript.show(items)
        await settled(pilot)
        plain = app.cells
        app.transcript.focus()
        await pilot.press("up")
        await settled(pilot)
        assert app.cells != plain
        app.screen.set_focus(None)
        await settled(pilot)
        assert app.cells == plain
