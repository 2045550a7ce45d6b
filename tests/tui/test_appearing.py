"""Adapters that appear in the picker by themselves."""

from __future__ import annotations

from tests.tui.driving import chat
from tests.tui.fake_library import FakeLibrary, demo_entries, entry


async def test_what_comes_and_goes_in_the_folder_does_so_in_the_picker() -> None:
    library = FakeLibrary()
    async with chat(library=library) as driver:
        library.on_disk = [*demo_entries(), entry("novel")]
        await driver.until(lambda: "novel" in driver.screen_text)
        await driver.until(lambda: "new" in str(driver.picker._rows.get_option("novel").prompt))
        await driver.pick(*"novel")
        assert (await driver.ask("Hi")).caption.startswith("● novel")
        library.on_disk = demo_entries()
        await driver.until(lambda: "novel" not in [option.id for option in driver.picker._rows.options])


async def test_a_file_that_failed_and_was_replaced_is_tried_again() -> None:
    library = FakeLibrary()
    async with chat(library=library) as driver:
        legal = driver.app.state.entry("legal")
        assert legal
        driver.app.state.problems[legal.sha256 or ""] = "it was cut off"
        library.on_disk = [each for each in demo_entries() if each.name != "legal"]
        library.on_disk.append(entry("legal", sha256="a" * 64))
        await driver.until(lambda: legal.sha256 not in driver.app.state.problems)
        await driver.pick(*"legal")
        assert (await driver.ask("Hi")).caption.startswith("● legal")
