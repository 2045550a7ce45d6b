"""Keys that come faster than a screen over the chat can go."""

from __future__ import annotations

import pytest

from tests.tui.driving import chat


@pytest.mark.parametrize("again", ["enter", "escape"])
async def test_a_second_key_does_not_close_the_chat_with_the_chooser_of_columns(again: str) -> None:
    async with chat() as driver:
        await driver.keys("ctrl+g")
        await driver.until(lambda: len(driver.app.screen_stack) == 2)
        driver.press("space", "down", "space", "enter", again, "enter", again)
        await driver.until(lambda: len(driver.app.screen_stack) == 1)
        await driver.settled()
        assert driver.app.is_running
        assert len(driver.app.screen_stack) == 1
        await driver.keys(*"There")
        await driver.until(lambda: "There" in driver.screen_text)
