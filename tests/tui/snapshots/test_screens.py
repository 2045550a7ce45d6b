"""What lies over the chat or beside it: conversations, bases, dialogs, the palette, help, the machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.command import CommandInput, CommandPalette
from textual.widgets import HelpPanel

from edgelora.chat.history.records import ConversationInfo, StoredConversation, StoredTurn, title_of
from edgelora.chat.history.store import History
from edgelora.tui.bases import BaseChoice
from edgelora.tui.metering import Swap
from edgelora.tui.widgets.base_picker import BasePicker
from edgelora.tui.widgets.machine import MachinePanel
from tests.tui.snapshots.said import EXAMPLES
from tests.tui.snapshots.stage import stage

if TYPE_CHECKING:
    from tests.tui.driving import Driver
    from tests.tui.snapshots.camera import Camera

pytestmark = pytest.mark.snapshot

BASES = [
    BaseChoice(Path("demo.gguf").resolve(), "edgelora demo", "llama · Q8_0", 5_620_000, needs=33_000_000),
    BaseChoice(Path("/models/a.gguf"), "Qwen2.5 1.5B Instruct", "qwen2 · Q4_K_M", 1_120_000_000, needs=1_900_000_000),
    BaseChoice(Path("/models/b.gguf"), "Mistral 7B", "llama · Q4_K_M", 4_370_000_000, needs=5_600_000_000),
    BaseChoice(
        Path("/models/c.gguf"),
        "Llama 3 70B",
        n_bytes=42 * 10**9,
        problem="c.gguf needs about 45,300 MiB of memory, and 14,900 MiB are free",
    ),
]


def kept(file: Path) -> History:
    """A history of some conversations, all long ago."""
    history = History(file)
    for day, prompt in enumerate(EXAMPLES.values(), 1):
        moment = datetime(2026, 3, day, 14, 5, tzinfo=UTC).timestamp()
        turns = tuple(StoredTurn(i + 1, i or None, prompt, "Yes.", "legal", moment, None) for i in range(day))
        history.add(
            StoredConversation(ConversationInfo(0, title_of(prompt), "edgelora demo", 0, moment, day), "", day, turns)
        )
    return history


async def test_conversations(picture: Camera, tmp_path: Path) -> None:
    kept(tmp_path / "h.sqlite3").close()
    async with stage(open_history=lambda: History(tmp_path / "h.sqlite3")) as driver:
        await driver.keys("ctrl+o")
        await driver.until(lambda: "4 turns" in driver.screen_text)
        await driver.keys("down", "f8")
        await driver.until(lambda: "is deleted" in driver.screen_text)
        await picture(driver)


async def test_bases(picture: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgelora.engine.free_memory.free_memory", lambda: 15_600_000_000)
    async with stage(list_bases=lambda recent: BASES) as driver:
        await driver.keys("f5")
        await driver.until(lambda: isinstance(driver.app.screen, BasePicker))
        await driver.keys("down")
        await picture(driver)


async def test_system_prompt(picture: Camera) -> None:
    async with stage(system="You are a careful paralegal. Name both parties.") as driver:
        await driver.command("system prompt")
        await picture(driver)


async def test_sampling(picture: Camera) -> None:
    async with stage() as driver:
        await driver.command("sampling")
        await driver.keys(*["backspace"] * 4, *"warm", "enter")
        await driver.until(lambda: "is no number" in driver.screen_text)
        await picture(driver)


async def test_palette(picture: Camera) -> None:
    async with stage() as driver:
        await driver.pick(*"legal")
        await driver.keys("ctrl+p")
        await driver.until(lambda: isinstance(driver.app.screen, CommandPalette))
        driver.app.screen.query_one(CommandInput).value = "base"
        await driver.until(lambda: "Bake the chosen" in driver.screen_text)
        await picture(driver)


@pytest.mark.parametrize("size", [(60, 20), (120, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_help(picture: Camera, size: tuple[int, int]) -> None:
    async with stage(size=size) as driver:
        await driver.pick(*"legal")
        await driver.keys("f1")
        await driver.until(lambda: bool(driver.app.screen.query(HelpPanel)))
        await picture(driver)


async def test_help_about_the_picker(picture: Camera) -> None:
    async with stage(size=(120, 36)) as driver:
        await driver.keys("ctrl+t", "f1")
        await driver.until(lambda: bool(driver.app.screen.query(HelpPanel)))
        await picture(driver)


async def show_machine(driver: Driver) -> None:
    """Figures that are always the same."""
    panel = driver.app.query_one(MachinePanel)
    rates = [0.0] * 20 + [412, 398, 405, 380, 0, 0, 371, 388, 392, 301, 296, 305, 310, 402, 410] + [0.0] * 5
    panel._rates.extend(rates)
    driver.app.state.meter.swaps.clear()
    driver.app.state.meter.swaps.extend([Swap("legal loaded", 4.1), Swap("212 tokens read under legal", 88.0)])
    await driver.keys("f4")
    await driver.until(lambda: "legal loaded" in driver.screen_text)
    panel._looking.pause()


@pytest.mark.parametrize("size", [(60, 20), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_machine(picture: Camera, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MachinePanel, "_rate", lambda panel: 402.0)
    async with stage(size=size) as driver:
        await show_machine(driver)
        await picture(driver)
