"""Makes docs/chat.svg from the program itself, on the embedded demo; run it with `scripts/test -m slow`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from edgelora.adapters.library import AdapterLibrary
from edgelora.config import locations
from edgelora.engine.client import open_engine
from edgelora.merge.baked import bake_apart
from edgelora.tui.app import ChatApp
from edgelora.tui.setup import ChatSetup
from edgelora.types import EngineConfig, SamplingParams
from tests.tui.driving import Driver

PICTURE = Path(__file__).parents[2] / "docs" / "chat.svg"


@pytest.mark.slow
async def test_the_picture_of_the_readme(tmp_path: Path) -> None:
    config = EngineConfig(locations.demo_base(), threads=1)
    setup = ChatSetup(
        base=config.base,
        open_engine=lambda base, report: open_engine(config, in_process=True, report=report),
        open_library=partial(AdapterLibrary, config.base, folder=tmp_path),
        sampling=lambda base: SamplingParams(temperature=0),
        bake=bake_apart,
        is_demo=True,
    )
    app = ChatApp(setup)
    async with app.run_test(size=(112, 32)) as pilot:
        driver = Driver(app, pilot)
        await app.workers.wait_for_complete()
        await driver.settled()
        await ask_example(driver, "medical")
        await ask_example(driver, "legal")
        await driver.keys("ctrl+t", "down", "space", *["left"] * 7)
        await pilot.pause(0.2)
        PICTURE.write_text(app.export_screenshot(title="edgelora chat"), encoding="utf-8")
        shown = driver.screen_text
        await app.action_quit()
    assert "● medical · TTFT" in shown
    assert "● legal · TTFT" in shown


async def ask_example(driver: Driver, name: str) -> None:
    """Pick an adapter by its keys and ask its own example."""
    entry = driver.app.state.entry(name)
    assert entry is not None
    assert entry.example_prompt
    await driver.pick(*name)
    await driver.ask(entry.example_prompt)
