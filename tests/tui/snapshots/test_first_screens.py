"""What a person sees first, on terminals of every size, and what stands there when opening goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.fake_engine import FakeEngine

from edgelora.errors import GGUFError
from edgelora.types import Progress, ReportProgress
from tests.tui.fake_library import FakeLibrary
from tests.tui.snapshots.camera import Camera
from tests.tui.snapshots.stage import SteadyEngine, stage

pytestmark = pytest.mark.snapshot


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 36), (240, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_first_screen(picture: Camera, size: tuple[int, int]) -> None:
    async with stage(size=size) as driver:
        await picture(driver)


async def test_opening(picture: Camera) -> None:
    go_on = asyncio.Event()

    async def slowly(base: Path, report: ReportProgress) -> FakeEngine:
        report(Progress("loading the base", 3, 8, "bytes"))
        await go_on.wait()
        return SteadyEngine()

    async with stage(wait=False, opener=slowly, size=(80, 24)) as driver:
        await driver.until(lambda: "37 %" in driver.screen_text)
        await picture(driver)
        go_on.set()


async def test_a_base_that_cannot_be_opened(picture: Camera) -> None:
    cut_off = GGUFError("demo.gguf ends in the middle of blk.3.attn_k.weight", "Fetch it again: 1.2 MB are missing.")
    async with stage(cut_off, size=(80, 24)) as driver:
        await picture(driver)


async def test_a_base_of_ones_own_without_adapters(picture: Camera) -> None:
    async with stage(size=(80, 24), library=FakeLibrary([]), is_demo=False) as driver:
        await picture(driver)
