"""Messages asked again, edited, and walked through, on an engine without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.fake_engine import FakeEngine

from edgelora.adapters.selection import MemberText
from edgelora.chat.history.store import History
from edgelora.errors import EngineError
from edgelora.tui.widgets.transcript import Transcript
from tests.tui.driving import chat

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tui.driving import Driver


def answers(driver: Driver) -> list[str]:
    return [answer.text for answer in driver.answers]


async def messages(driver: Driver, *keys: str) -> None:
    """Go from the composer to the messages and press ``keys`` there."""
    await driver.keys("up")
    await driver.until(lambda: isinstance(driver.app.focused, Transcript))
    await driver.keys(*keys)


async def test_an_answer_is_asked_again_under_another_adapter_and_both_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "h.sqlite3"
    async with chat(open_history=lambda: History(file)) as driver:
        await driver.ask("First")
        await driver.ask("Second")
        await driver.pick(*"legal")
        await messages(driver, "up", "up", "r")
        await driver.until(lambda: answers(driver) == ["An answer from legal."])
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert driver.prompts == ["First"]
        await driver.until(lambda: "‹ 2/2 ›" in driver.screen_text)
        assert len(driver.engine.requests[-1].tokens) < 12
        await driver.keys("left")
        await driver.until(lambda: answers(driver) == ["An answer from base."] * 2)
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert driver.prompts == ["First", "Second"]
        await driver.until(lambda: "‹ 1/2 ›" in driver.screen_text)
        await driver.keys("escape")
        await driver.ask("Third")
        assert driver.prompts == ["First", "Second", "Third"]
    history = History(file)
    [info] = history.list()
    stored = history.get(info.id)
    first, second, other, third = stored.turns
    assert [turn.parent for turn in stored.turns] == [None, first.id, None, second.id]
    assert (other.selection, stored.head) == ("legal", third.id)
    history.close()


async def test_a_prompt_is_edited_and_sent_instead(tmp_path: Path) -> None:
    async with chat() as driver:
        await driver.ask("First")
        await driver.ask("Secnd")
        await messages(driver, "e")
        assert driver.composer.text == "Secnd"
        await driver.until(lambda: "edited" in str(driver.composer.border_title))
        await driver.keys("escape")
        assert driver.composer.text == ""
        await messages(driver, "e")
        driver.composer.replace_text("Second")
        await driver.keys("enter")
        await driver.until(lambda: driver.prompts == ["First", "Second"])
        await driver.until(lambda: driver.app.state.phase == "ready")
        await driver.until(lambda: "‹ 2/2 ›" in driver.screen_text)
        await driver.settled()
        await driver.click("‹ 2/2 ›")
        await driver.until(lambda: driver.prompts == ["First", "Secnd"])


async def test_an_answer_that_fails_leaves_the_others_in_reach() -> None:
    async with chat() as driver:
        await driver.ask("First")
        driver.engine.fail_next = EngineError("it failed", "Look at the log.")
        await messages(driver, "r")
        await driver.until(lambda: "it failed" in driver.remarks)
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert answers(driver) == []
        driver.composer.clear()
        await messages(driver, "left")
        await driver.until(lambda: answers(driver) == ["An answer from base."])
        await driver.keys("escape")
        await driver.ask("Second")
        assert driver.prompts == ["First", "Second"]


async def test_messages_are_copied_and_folded() -> None:
    async with chat(FakeEngine(answers={"base": "one\n\n**two**\n\nthree"})) as driver:
        await driver.ask("First")
        await messages(driver, "c")
        assert driver.app.clipboard == "one\n\n**two**\n\nthree"
        await driver.keys("space")
        await driver.until(lambda: "4 more lines" in driver.screen_text and "three" not in driver.screen_text)
        await driver.keys("space", "up", "c")
        assert driver.app.clipboard == "First"
        await driver.until(lambda: "three" in driver.screen_text)


async def test_what_is_typed_at_the_messages_goes_into_the_composer() -> None:
    async with chat() as driver:
        await driver.ask("First")
        await driver.click("An answer from base.")
        assert isinstance(driver.app.focused, Transcript)
        await driver.keys("H")
        await driver.keys("i", "up")
        assert driver.composer.text == "Hi"
        assert driver.app.focused is driver.composer


async def test_what_is_typed_at_the_messages_may_be_sent_at_once() -> None:
    async with chat() as driver:
        await driver.ask("First")
        await driver.click("An answer from base.")
        driver.press("H", "i", "enter")
        await driver.until(lambda: driver.prompts == ["First", "Hi"])
        await driver.until(lambda: driver.app.state.phase == "ready" and len(driver.answers) == 2)


async def test_a_message_is_not_asked_again_while_an_answer_is_written() -> None:
    engine = FakeEngine()
    async with chat(engine) as driver:
        await driver.ask("First")
        engine.gate.clear()
        await driver.type("Second")
        await driver.until(lambda: driver.app.state.phase == "answering")
        await messages(driver, "up", "r")
        assert driver.prompts == ["First", "Second"]
        engine.gate.set()
        await driver.until(lambda: driver.app.state.phase == "ready")


async def test_a_branch_is_read_again_and_stopping_that_keeps_the_adapter() -> None:
    async with chat() as driver:
        await driver.pick(*"legal")
        await driver.ask("First")
        await messages(driver, "r")
        await driver.until(lambda: len(driver.app._conductor.keeping.tree.exchanges) == 2)
        await driver.until(lambda: driver.app.state.phase == "ready")
        driver.engine.gate.clear()
        await driver.keys("left")
        await driver.until(lambda: driver.app.state.phase == "rereading")
        await driver.keys("escape")
        await driver.keys("escape")
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert driver.app.state.active == (MemberText("legal"),)
