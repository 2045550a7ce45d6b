"""Keys of one's own, help, suspending, and terminals without colours."""

from __future__ import annotations

import pytest
from textual.widgets import HelpPanel

from edgelora.adapters.selection import MemberText
from edgelora.errors import ConfigError
from tests.tui.driving import chat


async def test_keys_can_be_chosen_in_the_app_and_in_the_picker() -> None:
    async with chat(keys={"adapters": "f7", "picker.mix": "tab", "picker.use": "f8"}) as driver:
        await driver.keys("f7")
        assert driver.picker.has_focus_within
        await driver.keys(*"legal", "tab", *"medi", "tab", "f8")
        await driver.until(lambda: driver.app.state.settled == (MemberText("legal"), MemberText("medical")))
        await driver.keys("ctrl+t")
        assert not driver.picker.has_focus_within


@pytest.mark.parametrize(("keys", "said"), [({"adaptors": "f7"}, "adapters"), ({"adapters": " "}, "no key")])
async def test_keys_that_mean_nothing_are_refused(keys: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        async with chat(keys=keys):
            pass


async def test_a_theme_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        async with chat(theme="nowhere"):
            pass


async def test_help_comes_and_goes() -> None:
    async with chat() as driver:
        await driver.keys("f1")
        await driver.until(lambda: bool(driver.app.screen.query(HelpPanel)))
        await driver.keys("f1")
        await driver.until(lambda: not driver.app.screen.query(HelpPanel))
