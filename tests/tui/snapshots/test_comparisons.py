"""Answers beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgelora.tui.widgets.columns import Columns
from edgelora.tui.widgets.columns_chooser import ColumnsChooser
from tests.tui.snapshots.said import EXAMPLES, TO_THE_NOTE
from tests.tui.snapshots.stage import SteadyEngine, stage

if TYPE_CHECKING:
    from tests.tui.driving import Driver
    from tests.tui.snapshots.camera import Camera

pytestmark = pytest.mark.snapshot


async def compare(driver: Driver, *names: str) -> None:
    """Mark the base and ``names``."""
    await choose(driver, *names)
    await driver.keys("enter")
    await driver.until(lambda: len(driver.app.state.columns) == 1 + len(names))
    await driver.until(lambda: driver.app.state.phase == "ready")


async def choose(driver: Driver, *names: str) -> None:
    await driver.keys("ctrl+g")
    await driver.until(lambda: isinstance(driver.app.screen, ColumnsChooser))
    for name in names:
        await driver.keys(*name, "space")


async def ask(driver: Driver, prompt: str) -> None:
    """Ask, and wait until all columns are painted to their end."""
    await driver.type(prompt)
    await driver.until(lambda: bool(driver.app.query(Columns)) and driver.app.query(Columns).last(Columns).is_complete)
    await driver.until(lambda: driver.app.state.phase == "ready")


async def test_chooser(picture: Camera) -> None:
    async with stage() as driver:
        await choose(driver, "legal", "medical")
        await driver.keys("up", *["left"] * 5)
        await picture(driver)


async def test_four_columns_while_they_answer(picture: Camera) -> None:
    async with stage(SteadyEngine(said=TO_THE_NOTE, pause_after=14), size=(140, 36)) as driver:
        await compare(driver, "chat", "legal", "medical")
        await driver.type(EXAMPLES["medical"])
        await driver.until(lambda: bool(driver.app.query(Columns)))
        shown = driver.app.query(Columns).last(Columns)
        await driver.until(lambda: all(len(column.body.source.split()) >= 8 for column in shown.columns))
        await picture(driver)


@pytest.mark.parametrize("size", [(60, 20), (140, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_differences(picture: Camera, size: tuple[int, int]) -> None:
    async with stage(SteadyEngine(said=TO_THE_NOTE), size=size) as driver:
        await compare(driver, "chat", "legal", "medical")
        await ask(driver, EXAMPLES["medical"])
        await driver.keys("4", "ctrl+d")
        await driver.until(lambda: "no differences" in driver.screen_text)
        await picture(driver)
