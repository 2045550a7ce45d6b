"""The pictures of the README and of docs/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgelora.adapters.selection import MemberText
from tests.tui.snapshots.said import EXAMPLES, TO_THE_NOTE
from tests.tui.snapshots.stage import SteadyEngine, stage
from tests.tui.snapshots.test_comparisons import ask, choose
from tests.tui.snapshots.test_pickers import full_shelf, look, remembered

if TYPE_CHECKING:
    from tests.tui.snapshots.camera import Camera

pytestmark = pytest.mark.snapshot

DOCS = Path(__file__).parents[3] / "docs"


async def test_chat(picture: Camera) -> None:
    async with stage(size=(112, 32)) as driver:
        for name in ("medical", "legal"):
            await driver.pick(*name)
            await driver.ask(EXAMPLES[name])
        await driver.keys("ctrl+t", "down", "space", *["left"] * 7)
        mix = (MemberText("legal"), MemberText("medical", 0.3))
        await driver.until(lambda: bool((warm := driver.app.state.warm) and warm.ready and warm.pick == mix))
        await picture(driver, DOCS / "chat.svg")


async def test_picker(picture: Camera) -> None:
    async with stage(library=full_shelf(), remembered=remembered(), size=(112, 32)) as driver:
        await driver.pick(*"medical")
        await driver.ask(EXAMPLES["medical"])
        await driver.pick(*"coding")
        await look(driver, "legal")
        await driver.keys(*["backspace"] * 5)
        await picture(driver, DOCS / "picker.svg")


async def test_compare(picture: Camera) -> None:
    half, whole = (MemberText("medical", 0.5),), (MemberText("medical"),)
    async with stage(SteadyEngine(said=TO_THE_NOTE), size=(112, 32)) as driver:
        await choose(driver)
        await driver.keys(*"medical", *["left"] * 5, "space")
        await driver.keys(*"medical", *["right"] * 5, "space", "enter")
        await driver.until(lambda: driver.app.state.columns == ((), half, whole))
        await driver.until(lambda: driver.app.state.phase == "ready")
        await ask(driver, EXAMPLES["medical"])
        await driver.keys("2", "ctrl+d")
        await driver.until(lambda: "no differences" in driver.screen_text)
        await picture(driver, DOCS / "compare.svg")
