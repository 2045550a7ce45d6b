"""Text that is selected while what shows it changes."""

from __future__ import annotations

from support.fake_engine import FakeEngine
from textual.geometry import Offset
from textual.selection import Selection

from edgelora.chat.tree import Exchange
from edgelora.tui.widgets.items import AnswerItem, MessageItem, PromptItem
from edgelora.tui.widgets.messages import ROWS, Messages
from edgelora.tui.widgets.streamed_markdown import StreamedMarkdown
from tests.tui.driving import chat
from tests.tui.test_messages import MADE_BY, Page, page, settled

ANSWER = "One two\n\n- three\n- four"


def messages(*texts: str) -> list[MessageItem]:
    items: list[MessageItem] = []
    for text in texts:
        exchange = Exchange(f"ask {text}", "base", answer=text, made_by=MADE_BY)
        items += [PromptItem(exchange.prompt, exchange), AnswerItem(exchange, "base", None)]
    return items


def select(app: Page, begin: tuple[int, int], end: tuple[int, int]) -> None:
    """From a place to another: a message, and a character of its first row."""
    [widget] = app.transcript.query(Messages)
    app.screen.selections = {widget: Selection(*(Offset(x, index * ROWS) for index, x in (begin, end)))}


async def test_what_is_selected_of_a_growing_answer_is_so_once_it_is_complete() -> None:
    engine = FakeEngine(answers={"base": ANSWER}, close_after=5)
    async with chat(engine) as driver:
        await driver.type("Count")
        await driver.until(lambda: "three" in driver.screen_text)
        await driver.pilot.mouse_down(offset=_at(driver.screen_text, "two"))
        await driver.pilot.hover(offset=_at(driver.screen_text, "three"))
        await driver.pilot.mouse_up(offset=_at(driver.screen_text, "three"))
        assert driver.app.screen.get_selected_text() == "two\n\n• t"
        [body] = driver.app.query(StreamedMarkdown)
        engine.gate.set()
        await driver.until(lambda: not body.is_attached)
        await driver.until(lambda: driver.app.screen.get_selected_text() == "two\n\n• t")


def _at(screen: str, text: str) -> tuple[int, int]:
    return next((line.index(text), y) for y, line in enumerate(screen.split("\n")) if text in line)


async def test_what_is_selected_of_messages_that_go_is_selected_no_longer() -> None:
    async with page() as (app, pilot):
        kept, gone = messages("one"), messages("two", "three")
        await app.transcript.show([*kept, *gone])
        await settled(pilot)
        select(app, (1, 1), (4, 3))
        assert (app.screen.get_selected_text() or "").endswith("ask")
        await app.transcript.remove_from(2, messages("other"))
        await settled(pilot)
        assert (app.screen.get_selected_text() or "").startswith("ne\n")
        assert "other" not in (app.screen.get_selected_text() or "")
        await app.transcript.remove_from(0, messages("none"))
        await settled(pilot)
        assert not app.screen.selections


async def test_what_is_selected_stays_when_a_remark_comes_between() -> None:
    async with page() as (app, pilot):
        items = messages("one", "two")
        await app.transcript.show(items)
        await settled(pilot)
        select(app, (3, 0), (3, 2))
        await app.transcript.insert(0, messages("before")[0])
        await settled(pilot)
        assert app.screen.get_selected_text() == "tw"
