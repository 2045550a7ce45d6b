"""Choosing another base, and seeing what the machine is doing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.fake_engine import FakeEngine, base_info
from textual.widgets import OptionList

from edgelora.adapters.selection import MemberText
from edgelora.errors import GGUFError
from edgelora.tui.bases import BaseChoice, list_bases
from edgelora.tui.remembered import Remembered
from edgelora.tui.widgets.base_picker import BasePicker
from edgelora.tui.widgets.machine import MachinePanel
from edgelora.types import EngineConfig
from tests.tui.driving import Driver, chat
from tests.tui.fake_library import FakeLibrary, demo_entries

OTHER = Path("/bases/other.gguf")
CHOICES = [
    BaseChoice(Path("demo.gguf").resolve(), "Test base", "llama · Q8_0", 6_000_000, needs=30_000_000),
    BaseChoice(OTHER, "Other base", "qwen2 · Q4_K_M", 1_100_000_000, needs=1_900_000_000, alias="mine"),
    BaseChoice(Path("/bases/huge.gguf"), "Huge", n_bytes=10**11, problem="huge.gguf needs about 99,000 MiB of memory"),
]


def two_engines() -> tuple[FakeEngine, FakeEngine]:
    return FakeEngine(), FakeEngine(base=replace(base_info(), name="Other base", path=OTHER))


async def choose(driver: Driver, *keys: str) -> None:
    await driver.keys("f5")
    await driver.until(lambda: isinstance(driver.app.screen, BasePicker))
    await driver.keys(*keys)
    await driver.app.workers.wait_for_complete()
    await driver.settled()


async def test_another_base_keeps_the_conversation_and_what_fits() -> None:
    first, second = two_engines()
    misfit = [
        replace(each, problem="does not fit this base: 16 layers") if each.name == "legal" else each
        for each in demo_entries()
    ]
    library = FakeLibrary()
    library.others[OTHER] = FakeLibrary(misfit)
    async with chat(first, second, library=library, list_bases=lambda recent: CHOICES) as driver:
        await driver.pick(*"legal", "space", *"medi", "space")
        await driver.ask("First question")
        await driver.keys("f5")
        await driver.until(lambda: "needs about 1.9 GB" in driver.screen_text)
        assert "99,000 MiB" in driver.screen_text
        assert driver.app.screen.query_one(OptionList).get_option("/bases/huge.gguf").disabled
        await driver.keys("down", "enter")
        await driver.until(lambda: driver.app.state.phase == "ready" and driver.app.state.base is second.base)
        assert first.closed
        assert driver.app.state.active == (MemberText("medical"),)
        await driver.until(lambda: "Not used on this base: legal" in driver.remarks)
        await driver.ask("Second question")
        assert len(second.requests[-1].tokens) > 15
        assert driver.app.state.remembered.bases[0] == str(OTHER)
        await driver.keys("ctrl+t", *"legal")
        await driver.until(lambda: "does not fit this base" in driver.screen_text)


async def test_bases_are_listed_with_their_names_on_this_machine() -> None:
    async with chat(list_bases=lambda recent: CHOICES) as driver:
        await driver.keys("f5")
        await driver.until(lambda: "Other base  mine" in driver.screen_text)


async def test_a_base_that_cannot_be_opened_changes_nothing() -> None:
    async with chat(FakeEngine(), GGUFError("cut off"), list_bases=lambda recent: CHOICES) as driver:
        await driver.pick(*"legal")
        await choose(driver, "down", "enter")
        await driver.until(lambda: "Nothing has changed" in driver.remarks)
        assert (await driver.ask("Hi")).caption.startswith("● legal")
        await choose(driver, "escape")
        assert driver.app.state.remembered.bases == []


def test_bases_are_found_and_judged(tmp_path: Path, demo_base: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\3\0\0\0")
    (tmp_path / "adapter.gguf").write_bytes((demo_base.parent / "adapters" / "legal.gguf").read_bytes())
    (tmp_path / "again.gguf").symlink_to(demo_base)
    found = list_bases(EngineConfig(demo_base), tmp_path, ["/gone.gguf", str(demo_base)])
    assert [choice.path for choice in found] == [demo_base.resolve(), tmp_path / "broken.gguf"]
    assert [choice.alias for choice in found] == ["demo", ""]
    [named] = list_bases(
        EngineConfig(demo_base), None, [], {"mine": tmp_path / "again.gguf", "gone": Path("/gone.gguf")}
    )
    assert (named.path, named.alias) == (demo_base.resolve(), "mine")
    assert found[0].needs > found[0].n_bytes > 0
    assert found[0].problem == ""
    assert "broken.gguf" in found[1].problem
    huge = list_bases(EngineConfig(demo_base, ctx=2**24), None, [])
    assert "of memory and" in huge[0].problem


async def test_the_machine_is_asked_only_while_it_is_shown() -> None:
    engine = FakeEngine()
    async with chat(engine, size=(120, 40)) as driver:
        panel = driver.app.query_one(MachinePanel)
        await driver.pick(*"legal")
        assert not panel.display
        await driver.keys("f4")
        await driver.until(lambda: "legal loaded" in driver.screen_text and "weights" in driver.screen_text)
        assert "0 running, 0 waiting" in driver.screen_text
        await driver.keys("f4")
        assert not panel.display


async def test_the_machine_is_in_reach_on_a_small_terminal() -> None:
    async with chat(size=(60, 20)) as driver:
        await driver.keys("f4")
        await driver.until(lambda: "tok/s" in driver.screen_text)
        await driver.keys("ctrl+t")
        await driver.until(lambda: "medical" in driver.screen_text)
        await driver.keys("escape", "f4")
        await driver.until(lambda: "tok/s" not in driver.screen_text)


async def test_what_was_chosen_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    async with chat(remembered=Remembered.read(file)) as driver:
        driver.app.theme = "edgelora-colour-blind"
        await driver.settled()
    async with chat(remembered=Remembered.read(file)) as driver:
        assert driver.app.theme == "edgelora-colour-blind"
    async with chat(remembered=Remembered.read(file), theme="terminal") as driver:
        assert driver.app.theme == "terminal"
