"""The picker with every state that an adapter can be in, and what is known about one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgelora.tui.remembered import Remembered
from edgelora.types import AdapterStatus
from tests.tui.fake_library import FakeLibrary, entry
from tests.tui.snapshots.stage import TARGETS, days_ago, demo_adapters, stage

if TYPE_CHECKING:
    from tests.tui.driving import Driver
    from tests.tui.snapshots.camera import Camera

pytestmark = pytest.mark.snapshot

BROKEN = "broken.gguf ends in the middle of its header: 12 bytes are missing"
MISFIT = "does not fit this base: it is for qwen2 with 28 layers, this is llama with 6"


def full_shelf() -> FakeLibrary:
    """The demo's adapters among others that a folder collects."""
    others = [
        entry("broken", 0, 12, targets=(), sha256=None, problem=BROKEN),
        entry("formal-tone", 16, 1_240_000, sha256=None, targets=TARGETS[:4], trained_on="Velmora/tiny-5m"),
        entry("poetry-of-the-north-sea-v2-final", 32, 9_800_000, targets=TARGETS),
        entry("qwen-sql", 16, 36_000_000, targets=TARGETS, problem=MISFIT),
    ]
    return FakeLibrary(sorted([*demo_adapters(), *others], key=lambda each: each.name))


def remembered() -> Remembered:
    return Remembered(favourites=["medical"], used={"medical": days_ago(3), "legal": days_ago(1 / 24)})


def note(driver: Driver, name: str, effect: float) -> AdapterStatus:
    """The engine has this adapter resident."""
    known = driver.app.state.entry(name)
    assert known
    assert known.sha256
    status = AdapterStatus(known.sha256, name, known.rank, known.n_bytes, known.targets, effect, (), 3.0)
    driver.app.state.note_loaded(status)
    return status


async def look(driver: Driver, name: str) -> None:
    """Open the picker on an adapter, which is read ahead under it."""
    await driver.keys("ctrl+t", *name)
    await driver.until(lambda: bool(driver.app.state.warm and driver.app.state.warm.ready))


@pytest.mark.parametrize("size", [(60, 20), (112, 32)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_picker(picture: Camera, size: tuple[int, int]) -> None:
    async with stage(library=full_shelf(), remembered=remembered(), size=size) as driver:
        driver.app.state.note_evicted(note(driver, "medical", 0.12).sha256, 1)
        note(driver, "legal", 0.16)
        driver.app.state.fresh.add("coding")
        await look(driver, "legal")
        await driver.keys(*["backspace"] * 5)
        await picture(driver)


async def test_mixing(picture: Camera) -> None:
    async with stage() as driver:
        await driver.keys("ctrl+t", *"legal", "space", *"medical", "space", *["left"] * 4)
        await driver.until(lambda: bool(driver.app.state.warm and driver.app.state.warm.ready))
        await picture(driver)


@pytest.mark.parametrize("name", ["broken", "qwen-sql", "formal"])
async def test_what_is_said_about(picture: Camera, name: str) -> None:
    async with stage(library=full_shelf(), remembered=remembered()) as driver:
        await driver.keys("ctrl+t", *name.replace("-", ""))
        await picture(driver)


async def test_nothing_matches(picture: Camera) -> None:
    async with stage(library=full_shelf()) as driver:
        await driver.keys("ctrl+t", *"zzz")
        await picture(driver)


async def test_report(picture: Camera) -> None:
    library = full_shelf()
    change = {"least": 0.0041, "median": 0.02, "most": 0.031}
    targets = [
        {"target": name, "layers": list(range(6)), "ranks": [12], "ignored": False, "relative_change": change}
        for name in TARGETS
    ]
    library.reports["legal"] = {
        "base_name": "edgelora demo",
        "arch": "llama",
        "n_pairs": 42,
        "targets": targets,
        "warnings": ["the adapter has no chat template; the base's is used"],
    }
    async with stage(library=library, remembered=remembered()) as driver:
        note(driver, "legal", 0.16)
        await look(driver, "legal")
        await driver.keys("question_mark")
        await driver.until(lambda: "Converted for" in driver.screen_text)
        await picture(driver)
