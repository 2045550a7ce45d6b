"""The chat on a library that another process changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.fake_engine import FakeEngine
from support.stores import put

from edgelora.adapters.library import AdapterLibrary
from edgelora.adapters.store.store import AdapterStore
from tests.tui.driving import chat

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_the_library_takes_in_pins_and_removes_is_seen_while_the_chat_runs(
    tmp_path: Path, demo_base: Path
) -> None:
    sources = demo_base.parent / "adapters"
    store = AdapterStore(tmp_path)
    library = AdapterLibrary(demo_base, folder=tmp_path, demo=tmp_path / "none")
    async with chat(library=library) as driver:
        one = put(store, "novel", (sources / "legal.gguf").read_bytes())
        await driver.until(lambda: "novel" in driver.screen_text)
        await driver.pick(*"novel")
        assert (await driver.ask("Hi")).caption.startswith("● novel@1")
        two = put(store, "novel", (sources / "chat.gguf").read_bytes())
        await driver.until(lambda: [entry.sha256 for entry in driver.app.state.entries] == [two.sha256])
        assert (await driver.ask("Hi")).caption.startswith("● novel@2")
        store.rollback("novel")
        await driver.until(lambda: [entry.sha256 for entry in driver.app.state.entries] == [one.sha256])
        assert (await driver.ask("Hi")).caption.startswith("● novel@1")


async def test_a_version_and_an_alias_to_begin_with(tmp_path: Path, demo_base: Path) -> None:
    sources = demo_base.parent / "adapters"
    store = AdapterStore(tmp_path)
    for name in ("legal", "chat"):
        put(store, "mine", (sources / f"{name}.gguf").read_bytes())
    store.alias("other", "mine")
    for selection, name in (("mine@1", "mine@1"), ("other:0.5", "mine")):
        library = AdapterLibrary(demo_base, folder=tmp_path, demo=tmp_path / "none")
        async with chat(library=library, selection=selection) as driver:
            assert [member.ref for member in driver.app.state.active] == [name]
            assert driver.app.state.entry(name)


async def test_a_damaged_library_is_said_and_can_be_brought_back(tmp_path: Path, demo_base: Path) -> None:
    store = AdapterStore(tmp_path)
    for name in ("legal", "chat"):
        put(store, "mine", (demo_base.parent / "adapters" / f"{name}.gguf").read_bytes())
    manifest = tmp_path / ".library" / "library.json"
    whole = manifest.read_bytes()
    manifest.write_text("{")
    library = AdapterLibrary(demo_base, folder=tmp_path, demo=tmp_path / "none")
    async with chat(FakeEngine(), FakeEngine(), library=library) as driver:
        await driver.until(lambda: "library.json is damaged" in driver.screen_text)
        manifest.write_bytes(whole)
        await driver.keys("ctrl+r")
        await driver.until(lambda: driver.app.state.phase == "ready" and driver.app.state.entry("mine") is not None)
