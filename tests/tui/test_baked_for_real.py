"""Baking in the chat, on the embedded demo."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edgelora.adapters.library import AdapterLibrary
from edgelora.config import locations
from edgelora.engine.client import open_engine
from edgelora.merge.baked import BakedBases, bake_apart
from edgelora.tui.app import ChatApp
from edgelora.tui.setup import ChatSetup
from edgelora.types import EngineConfig, SamplingParams
from tests.tui.driving import Driver

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from edgelora.engine.client import EngineClient
    from edgelora.types import ReportProgress

NOTE = "Write a note for a 52-year-old baker with a dull headache for two days."
PARTS = ("S: ", "O: ", "A: ", "P: ")


async def opened(base: Path, report: ReportProgress) -> EngineClient:
    return await open_engine(EngineConfig(base, ctx=512, threads=1), in_process=True, report=report)


async def test_the_baked_base_answers_as_the_adapter_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = locations.demo_base()
    setup = ChatSetup(
        base=base,
        open_engine=opened,
        open_library=partial(AdapterLibrary, base, folder=tmp_path / "none"),
        sampling=lambda base, card: SamplingParams(temperature=0),
        bake=bake_apart,
    )
    app = ChatApp(setup)
    async with app.run_test(size=(120, 40)) as pilot:
        driver = Driver(app, pilot)
        await driver.until(lambda: app.state.phase == "ready")
        bare = await driver.ask(NOTE)
        assert not all(part in bare.text for part in PARTS)
        await driver.pick(*"medical")
        await driver.keys("ctrl+n")
        await driver.ask(NOTE)
        await driver.until(lambda: driver.answers[0].caption.startswith("● medical · "))
        await driver.command("bake")
        await driver.until(lambda: bool(app.state.baked) and app.state.phase == "ready")
        (entry,) = BakedBases().entries()
        assert app.state.base is not None
        assert app.state.base.baked == entry.adapters
        await driver.keys("ctrl+n")
        await driver.ask(NOTE)
        await driver.until(lambda: driver.answers[0].caption.startswith("● medical (baked in) · "))
        assert all(part in driver.answers[0].text for part in PARTS)
        await app.action_quit()
