"""The picker: orders, favourites, what is said about adapters, and the mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.fake_engine import FakeEngine

from edgelora.adapters.selection import MemberText
from edgelora.tui.remembered import Remembered
from edgelora.types import AdapterEvicted
from tests.tui.driving import Driver, chat
from tests.tui.fake_library import FakeLibrary, demo_entries, entry

if TYPE_CHECKING:
    from pathlib import Path


def listed(driver: Driver) -> list[str]:
    return [option.id or "" for option in driver.picker._rows.options]


def row(driver: Driver, name: str) -> str:
    return str(driver.picker._rows.get_option(name).prompt)


async def test_favourites_come_first_and_are_still_there_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "data" / "chat.json"
    async with chat(remembered=Remembered.read(file)) as driver:
        assert listed(driver) == ["base", "chat", "coding", "legal", "medical"]
        await driver.keys("ctrl+t", *"medi", "asterisk", "escape")
        assert listed(driver) == ["base", "medical", "chat", "coding", "legal"]
        assert "★" in row(driver, "medical")
    async with chat(remembered=Remembered.read(file)) as driver:
        assert listed(driver)[1] == "medical"
        await driver.keys("ctrl+t", "down", "asterisk", "escape")
        assert listed(driver)[1] == "chat"
    assert [path.name for path in file.parent.iterdir()] == ["chat.json"]


async def test_orders_by_last_use_and_by_effect(tmp_path: Path) -> None:
    library = FakeLibrary([*demo_entries(), entry("broken", problem="it is cut off")])
    async with chat(library=library, remembered=Remembered.read(tmp_path / "chat.json")) as driver:
        await driver.pick(*"legal")
        await driver.pick(*"coding")
        await driver.keys("ctrl+t", "ctrl+s")
        assert listed(driver) == ["base", "coding", "legal", "chat", "medical", "broken"]
        assert "last used first" in driver.screen_text
        await driver.keys("ctrl+s")
        assert listed(driver) == ["base", "coding", "legal", "chat", "medical", "broken"]  # equal effects: by name
        await driver.keys("ctrl+s", "escape")
        assert listed(driver) == ["base", "chat", "coding", "legal", "medical", "broken"]


def test_a_memory_that_makes_no_sense_is_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    for text in ("", "[]", '{"favourites": 3, "used": {"a": "b"}, "file": "/etc/passwd"}', "\x00\xff"):
        file.write_bytes(text.encode("latin-1"))
        assert Remembered.read(file) == Remembered(file)
    file.write_text('{"favourites": ["legal"], "order": 7, "later": true}')
    assert Remembered.read(file) == Remembered(file, favourites=["legal"])


def test_a_memory_that_cannot_be_written_does_not_fail(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remembered = Remembered(tmp_path / "file" / "chat.json")
    remembered.toggle_favourite("legal")
    assert remembered.favourites == ["legal"]


async def test_the_state_of_an_adapter_can_be_seen_at_a_glance() -> None:
    engine = FakeEngine()
    async with chat(engine, library=FakeLibrary([*demo_entries(), entry("folder", sha256=None)])) as driver:
        await driver.pick(*"legal")
        assert row(driver, "legal").endswith("resident")
        assert row(driver, "medical").endswith("on disk")
        assert row(driver, "folder").endswith("to convert")
        engine.prepared = 1
        legal = driver.app.state.entry("legal")
        assert legal
        engine._events.put_nowait(AdapterEvicted(legal.sha256 or ""))
        await driver.until(lambda: row(driver, "legal").endswith("in memory"))
        await driver.keys("ctrl+t", *"lega")
        await driver.until(lambda: "changes the logits by 3 %" in driver.screen_text)
        assert "used just now" in driver.screen_text


async def test_rows_are_one_line_however_long_the_name() -> None:
    long = entry("a" * 64, problem="no")
    async with chat(library=FakeLibrary([*demo_entries(), long])) as driver:
        await driver.keys("ctrl+t", *"aa", "asterisk")
        width = driver.picker._rows.scrollable_content_region.width
        assert all(option.prompt.cell_length == width for option in driver.picker._rows.options)  # type: ignore[union-attr]
        assert "cannot be used" in row(driver, long.name)
        assert "★" in row(driver, long.name)


async def test_the_mouse_scales_and_takes_chips_away() -> None:
    async with chat() as driver:
        await driver.keys("ctrl+t", *"legal", "space", *"medi", "space")
        await driver.pilot.click("#scale", offset=(7, 0))
        await driver.until(lambda: driver.picker._draft.scale_of("medical") == 0.7)
        chips = driver.picker.query_one("#preview")
        cross = str(chips.content).index("✕")  # type: ignore[attr-defined]
        await driver.pilot.click("#preview", offset=(cross, 0))
        await driver.until(lambda: not driver.picker._draft.marked("legal"))
        await driver.keys("enter")
        await driver.until(lambda: driver.app.state.settled == (MemberText("medical", 0.7),))


async def test_a_report_is_one_key_away() -> None:
    change = {"least": 0.01, "median": 0.02, "most": 0.031}
    target = {"target": "attn_q", "layers": [0, 1], "ranks": [8], "ignored": False, "relative_change": change}
    library = FakeLibrary([*demo_entries(), entry("broken", problem="it is cut off after 812 bytes")])
    warnings = ["the bias is left out"]
    library.reports["legal"] = {
        "base_name": "Test base", "arch": "llama", "n_pairs": 2, "targets": [target], "warnings": warnings
    }  # fmt: skip
    async with chat(library=library) as driver:
        await driver.keys("ctrl+t", *"legal", "question_mark")
        await driver.until(lambda: "changes it by 1 to 3.1 %" in driver.screen_text)
        assert "the bias is left out" in driver.screen_text
        assert "/adapters/legal.gguf" in driver.screen_text
        await driver.keys("question_mark")
        assert driver.picker.has_focus_within
        await driver.keys(*["backspace"] * 5, *"broken", "question_mark")
        await driver.until(lambda: "/adapters/broken.gguf" in driver.screen_text)
        assert "it is cut off after 812 bytes" in driver.screen_text


async def test_what_the_library_says_about_an_adapter_is_under_the_list() -> None:
    library = FakeLibrary([entry("legal", version=3, description="Drafts clauses.")])
    async with chat(library=library) as driver:
        await driver.keys("ctrl+t", *"legal")
        await driver.until(
            lambda: "Drafts clauses." in driver.screen_text and "version 3 · rank 8" in driver.screen_text
        )
