"""Baking from the chat's command palette, on engines without a model."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

from support.fake_engine import CHATML, FakeEngine, base_info

from edgelora.adapters.selection import MemberText
from edgelora.errors import MemoryLimitError, MergeError
from edgelora.types import BASE, AttestedAdapter
from tests.tui.driving import Driver, chat
from tests.tui.fake_baker import BAKED, FakeBaker
from tests.tui.fake_library import FakeLibrary, demo_entries

LEGAL = (MemberText("legal"),)


def baked_engine(*members: tuple[str, float]) -> FakeEngine:
    """An engine on a base with these adapters in its weights."""
    adapters = tuple(AttestedAdapter(name, "a" * 64, scale) for name, scale in members or [("legal", 1.0)])
    return FakeEngine(replace(base_info(), baked=adapters), answers={"base": "From the weights."})


async def bake(driver: Driver) -> None:
    await driver.command("bake")
    await driver.app.workers.wait_for_complete()
    await driver.settled()


async def test_baking_goes_on_beside_the_conversation_which_then_goes_on_there() -> None:
    baker, second = FakeBaker(), baked_engine()
    baker.oven.clear()
    async with chat(FakeEngine(), second, baker=baker) as driver:
        await driver.pick(*"legal")
        await driver.ask("First question")
        await driver.command("bake")
        await driver.until(lambda: "25 %  Baking in legal · Esc stops it · writing" in driver.screen_text)
        price = "8.8 MB instead of 5.9 MB, about 60 % of the base's speed instead of 90 % with the adapter at run time."
        await driver.until(lambda: f"Baked in: {price} Better stay with that. Esc stops baking." in driver.remarks)
        await driver.type("Second question")
        await driver.until(lambda: len(driver.answers) == 2 and driver.app.state.phase == "ready")
        assert driver.answers[1].caption.startswith("● legal · ")
        baker.oven.set()
        await driver.until(lambda: driver.app.state.baked == LEGAL and driver.app.state.phase == "ready")
        assert baker.baked == [[("legal", 1.0)]]
        assert driver.engine.closed
        assert "legal is baked in: 5.8 MB instead of 5.6 MB, 99.9 % of its change kept." in driver.remarks
        (reread,) = second.requests
        assert (reread.sampling.max_tokens, reread.selection) == (0, BASE)
        third = await driver.ask("Third question")
        assert third.caption.startswith("● legal (baked in) · ")
        assert second.requests[-1].tokens[: len(reread.tokens)] == reread.tokens
        assert len(second.requests[-1].tokens) > len(driver.engine.requests[-1].tokens)
        assert (second.requests[-1].selection, second.loaded) == (BASE, {})
        assert re.search(r"● legal +baked in ", driver.screen_text)
        assert "Test base with legal in it" in driver.screen_text
        assert driver.composer.border_title == "legal (baked in)"


async def test_the_way_back_keeps_the_conversation_and_the_adapter() -> None:
    third = FakeEngine()
    async with chat(FakeEngine(), baked_engine(("legal", 0.7)), third) as driver:
        await driver.pick(*"legal", *["left"] * 3)
        await bake(driver)
        await driver.ask("On the baked base")
        await driver.command("back to the base")
        await driver.until(lambda: not driver.app.state.baked and driver.app.state.phase == "ready")
        assert [file.name for file in third.loaded.values()] == ["legal"]
        assert (await driver.ask("And now?")).caption.startswith("● legal 0.7 · ")
        assert len(third.requests[-1].tokens) > 20
        assert driver.answers[0].caption.startswith("● legal 0.7 (baked in) · ")


async def test_another_adapter_is_never_added_to_what_is_baked_in() -> None:
    third = FakeEngine()
    async with chat(FakeEngine(), second := baked_engine(), third) as driver:
        await driver.pick(*"legal")
        await bake(driver)
        await driver.pick(*"legal")
        assert driver.app.state.baked == LEGAL
        await driver.pick(*"medical")
        await driver.until(lambda: driver.app.state.settled == (MemberText("medical"),))
        assert second.closed
        assert (await driver.ask("A cough")).caption.startswith("● medical · ")
        assert {request.selection for request in second.requests} <= {BASE}


async def test_a_mixture_is_baked_with_its_scales_and_without_what_is_at_zero() -> None:
    baker = FakeBaker()
    async with chat(FakeEngine(), baked_engine(("legal", 1.0), ("medical", 0.3)), baker=baker) as driver:
        await driver.app._conductor.switch((MemberText("legal"), MemberText("medical", 0.3), MemberText("chat", 0.0)))
        await bake(driver)
        assert baker.baked == [[("legal", 1.0), ("medical", 0.3)]]
        assert (await driver.ask("Hi")).caption.startswith("● legal + medical 0.3 (baked in) · ")


async def test_a_bake_that_fails_is_one_message_and_changes_nothing() -> None:
    baker = FakeBaker(MergeError("8.1 GB are needed on this disk, 2.0 GB are free", "Make room."))
    async with chat(baker=baker) as driver:
        await driver.pick(*"legal")
        await bake(driver)
        assert driver.remarks.count("legal cannot be baked in: 8.1 GB are needed") == 1
        assert "Make room.\nNothing has changed." in driver.remarks
        assert not driver.app.state.baking
        assert (await driver.ask("Hi")).caption.startswith("● legal · ")


async def test_a_baked_base_that_cannot_be_opened_changes_nothing() -> None:
    async with chat(FakeEngine(), MemoryLimitError("too little memory", "Close something.")) as driver:
        await driver.pick(*"legal")
        await driver.ask("First")
        await bake(driver)
        assert "too little memory\nClose something.\nNothing has changed." in driver.remarks
        assert not driver.engine.closed
        assert (await driver.ask("Second")).caption.startswith("● legal · ")
        assert driver.app.state.baked == ()


async def test_escape_stops_baking_and_the_palette_does_too() -> None:
    baker = FakeBaker()
    baker.oven.clear()
    async with chat(baker=baker) as driver:
        await driver.pick(*"legal")
        for number in (1, 2):
            await driver.command("bake the")
            await driver.until(lambda n=number: len(baker.baked) == n)
            await driver.until(lambda: "Baking in legal" in driver.screen_text)
            await (driver.keys("escape") if number == 1 else driver.command("stop baking"))
            await driver.until(lambda n=number: baker.ended == n and not driver.app.state.baking)
        await driver.until(lambda: driver.remarks.count("legal was not baked in: stopped.") == 2)
        assert "Baking in legal" not in driver.screen_text
        assert (await driver.ask("Hi")).caption.startswith("● legal · ")


async def test_escape_stops_an_answer_before_it_stops_baking() -> None:
    baker = FakeBaker()
    baker.oven.clear()
    async with chat(FakeEngine(answers={"legal": "word " * 500}, token_delay=0.002), baker=baker) as driver:
        await driver.pick(*"legal")
        await driver.command("bake")
        await driver.type("Go on for ever")
        await driver.until(lambda: bool(driver.answers) and len(driver.answers[0].text) > 20)
        await driver.keys("escape")
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert driver.app.state.baking == LEGAL


async def test_what_is_picked_meanwhile_is_kept() -> None:
    baker = FakeBaker()
    baker.oven.clear()
    async with chat(baker=baker) as driver:
        await driver.pick(*"legal")
        await driver.command("bake")
        await driver.keys("ctrl+t", *"medical", "enter")
        await driver.until(lambda: driver.app.state.settled == (MemberText("medical"),))
        baker.oven.set()
        await driver.until(lambda: "choose it and bake it again, which takes no time" in driver.remarks)
        await driver.type("A cough")
        await driver.until(lambda: bool(driver.answers) and driver.answers[0].caption.startswith("● medical · "))


async def test_without_an_adapter_there_is_nothing_to_bake() -> None:
    baker = FakeBaker()
    async with chat(baker=baker) as driver:
        await bake(driver)
        assert "choose an adapter first" in driver.remarks
        assert baker.baked == []


async def test_a_chat_that_begins_on_a_baked_base_says_so_and_can_leave_it() -> None:
    first, second = baked_engine(("legal", 0.7)), FakeEngine()
    async with chat(first, second, selection="legal:0.7", baked=BAKED) as driver:
        assert driver.app.state.baked == (MemberText("legal", 0.7),)
        assert (await driver.ask("Hi")).caption.startswith("● legal 0.7 (baked in) · ")
        assert first.loaded == {}
        await driver.command("back to the base")
        await driver.until(lambda: not driver.app.state.baked and driver.app.state.phase == "ready")
        assert (await driver.ask("Hi")).caption.startswith("● legal 0.7 · ")


async def test_a_baked_base_whose_engine_died_is_opened_again() -> None:
    bases: list[Path] = []
    engines = [FakeEngine(), second := baked_engine(), baked_engine()]

    async def opener(base: Path, report: object) -> FakeEngine:
        bases.append(base)
        return engines.pop(0)

    async with chat(opener=opener) as driver:
        await driver.pick(*"legal")
        await bake(driver)
        second.die()
        await driver.until(lambda: driver.app.state.phase == "down")
        await driver.keys("ctrl+r")
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert (await driver.ask("Hi")).caption.startswith("● legal (baked in) · ")
        assert bases == [Path("demo.gguf"), BAKED, BAKED]


async def test_the_texts_of_what_is_baked_in_are_used() -> None:
    own = CHATML.replace("user", "person").replace("{% for", "LAW {% for")
    entries = [replace(entry, chat_template=own) if entry.name == "legal" else entry for entry in demo_entries()]
    baked = replace(baked_engine().base, chat_template=own)
    async with chat(FakeEngine(), second := FakeEngine(baked), library=FakeLibrary(entries)) as driver:
        await driver.pick(*"legal")
        await driver.ask("Hi")
        await bake(driver)
        await driver.ask("Again")
        (law,) = set(await second.tokenize("LAW"))
        assert law in second.requests[-1].tokens


async def test_quitting_ends_baking() -> None:
    baker = FakeBaker()
    baker.oven.clear()
    async with chat(baker=baker) as driver:
        await driver.pick(*"legal")
        await driver.command("bake")
        await driver.until(lambda: bool(baker.baked))
        driver.press("ctrl+q")
        await driver.until(lambda: not driver.app.is_running)
    for _ in range(500):
        if baker.ended:
            break
        await asyncio.sleep(0.01)
    assert baker.ended == 1
    assert driver.app.return_code == 0


async def test_a_merged_file_given_as_the_base_says_what_is_in_it() -> None:
    async with chat(baked_engine(("legal", 0.5))) as driver:
        assert "legal 0.5 in its weights" in driver.screen_text
        assert (await driver.ask("Hi")).caption.startswith("● legal 0.5 (baked in) · ")
        await driver.pick(*"medical")
        assert (await driver.ask("Hi")).caption.startswith("● medical on legal 0.5 (baked in) · ")
