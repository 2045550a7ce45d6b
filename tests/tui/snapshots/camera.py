"""Takes pictures of a running chat and compares them with those that are kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.tui.snapshots.picture import MADE_WITH, differences, made_with, read, storable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tui.driving import Driver

ROUNDS = 200
"""Of 20 ms and what a look takes; a machine that is busy gets more."""
STEADY = 10
"""Rounds in which nothing changes, before a new picture is kept."""
HOW_TO_KEEP = "If it should look like that: scripts/test -m snapshot --update, and look at what changed."


@dataclass
class Camera:
    """``kept`` is the picture to compare with, or to write anew if ``update`` says so. Others go to ``developed``."""

    kept: Path
    update: bool
    developed: Path

    async def __call__(self, driver: Driver, kept: Path | None = None) -> None:
        """Compare the screen with its picture, as soon as they are the same; after a while they are different."""
        kept = kept or self.kept
        if self.update:
            svg = await self._steady(driver)
            if not kept.exists() or differences(read(kept.read_text(encoding="utf-8")), read(svg)):
                kept.write_text(svg, encoding="utf-8")
            return
        assert kept.exists(), f"there is no {kept} yet. {HOW_TO_KEEP}"
        wanted = kept.read_text(encoding="utf-8")
        before = read(wanted)
        for _ in range(ROUNDS):
            svg = await self._look(driver)
            found = differences(before, read(svg))
            if not found:
                return
            await asyncio.sleep(0.02)
        new = self.developed / kept.name
        new.write_text(svg, encoding="utf-8")
        versions = [made_with(wanted), MADE_WITH]
        other = f"It was made with {versions[0]}, this is {versions[1]}.\n" if versions[0] != versions[1] else ""
        raise AssertionError(
            "\n".join([f"{kept} is not what the screen shows:", *found, f"{other}Now: {new}", HOW_TO_KEEP])
        )

    async def _steady(self, driver: Driver) -> str:
        """A picture of what does not change any more."""
        svg, same = await self._look(driver), 0
        for _ in range(ROUNDS):
            await asyncio.sleep(0.02)
            before, svg = svg, await self._look(driver)
            same = same + 1 if svg == before else 0
            if same == STEADY:
                return svg
        raise AssertionError(f"the screen does not come to rest:\n{driver.screen_text}")

    async def _look(self, driver: Driver) -> str:
        await driver.settled()
        return storable(driver.app.export_screenshot(title="edgelora chat"))
