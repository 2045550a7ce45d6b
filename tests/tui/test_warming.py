"""Reading ahead under what is highlighted in the picker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.adapters.selection import MemberText
from tests.tui.driving import Driver, chat
from tests.tui.fake_library import FakeLibrary, demo_entries, entry

if TYPE_CHECKING:
    from edgelora.types import Request


def last(driver: Driver) -> Request:
    return driver.engine.requests[-1]


def is_ready(driver: Driver, *names: str) -> bool:
    warm = driver.app.state.warm
    return bool(warm and warm.ready and [member.ref for member in warm.pick] == list(names))


async def test_what_is_looked_at_is_read_ahead_and_costs_nothing_when_it_is_chosen() -> None:
    async with chat() as driver:
        await driver.ask("A question with some words")
        await driver.keys("ctrl+t", *"legal")
        await driver.until(lambda: is_ready(driver, "legal"))
        assert "ready" in driver.screen_text
        assert last(driver).background
        assert last(driver).sampling.max_tokens == 0
        assert driver.app.state.active == ()
        ahead = last(driver)
        await driver.keys("enter")
        await driver.until(lambda: driver.app.state.settled == (MemberText("legal"),))
        assert last(driver).tokens == ahead.tokens  # it is cached under this selection
        assert driver.app.state.warm is None


async def test_moving_on_aims_at_something_else_and_leaving_ends_it() -> None:
    async with chat() as driver:
        await driver.ask("A question with some words")
        driver.engine.token_delay = 60  # never ready
        await driver.keys("ctrl+t", *"legal")
        await driver.until(lambda: len(driver.engine.requests) == 2)
        given_up = last(driver).id
        driver.engine.token_delay = 0
        await driver.keys(*["backspace"] * 5, *"medi")
        await driver.until(lambda: is_ready(driver, "medical"))
        assert given_up in driver.engine.cancelled
        await driver.keys("escape")
        await driver.until(lambda: driver.app.state.warm is None)


async def test_an_answer_that_ends_meanwhile_is_read_too() -> None:
    async with chat() as driver:
        await driver.ask("First")
        driver.engine.gate.clear()
        await driver.type("Second")
        await driver.until(lambda: driver.app.state.phase == "answering")
        await driver.keys("ctrl+t", *"legal")
        await driver.until(lambda: driver.app.state.warm is not None)
        driver.engine.gate.set()
        await driver.until(lambda: driver.app.state.phase == "ready" and is_ready(driver, "legal"))
        before = len(last(driver).tokens)
        await driver.until(lambda: sum(request.background for request in driver.engine.requests) >= 2)
        assert len(last(driver).tokens) >= before


async def test_a_mixture_is_read_ahead_as_a_whole() -> None:
    async with chat() as driver:
        await driver.ask("First")
        await driver.keys("ctrl+t", *"legal", "space", *"medi", "space")
        await driver.until(lambda: is_ready(driver, "legal", "medical"))
        assert len(last(driver).selection.members) == 2


async def test_nothing_is_converted_for_being_looked_at() -> None:
    library = FakeLibrary([*demo_entries(), entry("folder", sha256=None), entry("broken", problem="it is cut off")])
    async with chat(library=library) as driver:
        await driver.ask("First")
        await driver.keys("ctrl+t", *"folder")
        await driver.keys(*["backspace"] * 6, *"broken")
        await driver.keys(*["backspace"] * 6, *"legal")
        await driver.until(lambda: is_ready(driver, "legal"))
        assert [file.name for file in driver.engine.loaded.values()] == ["legal"]
