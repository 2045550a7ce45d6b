"""The same screen in every theme of ours, in a light one, and without colours."""

from __future__ import annotations

import pytest

from tests.tui.snapshots.camera import Camera
from tests.tui.snapshots.said import EXAMPLES
from tests.tui.snapshots.stage import stage

pytestmark = pytest.mark.snapshot


async def show(picture: Camera, theme: str = "") -> None:
    """Two adapters, the picker with a mixture, and a remark."""
    async with stage(theme=theme, size=(110, 32)) as driver:
        for name in ("medical", "legal"):
            await driver.pick(*name)
            await driver.ask(EXAMPLES[name])
        await driver.app.say("warning", "This conversation is not kept: the disk is full")
        await driver.keys("ctrl+t", "down", "space", *["left"] * 3)
        await driver.until(lambda: bool(driver.app.state.warm and driver.app.state.warm.ready))
        await picture(driver)


@pytest.mark.parametrize("theme", ["edgelora", "edgelora-colour-blind", "terminal", "textual-light"])
async def test_theme(picture: Camera, theme: str) -> None:
    await show(picture, theme)


@pytest.mark.parametrize("theme", ["edgelora", "terminal"])
async def test_no_color(picture: Camera, theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    await show(picture, theme)
