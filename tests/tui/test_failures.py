"""The chat when files, adapters, bases and engines fail, on an engine without a model."""

from __future__ import annotations

import asyncio

from support.fake_engine import FakeEngine, base_info

from edgelora.adapters.selection import MemberText
from edgelora.errors import AdapterError, EngineError, GGUFError, QuarantinedError, TemplateError
from edgelora.types import Progress
from tests.tui.driving import chat
from tests.tui.fake_library import FakeLibrary, demo_entries, entry


async def test_a_broken_file_says_why_and_the_chat_goes_on() -> None:
    broken = entry("broken", problem="/adapters/broken.gguf: the file is cut off")
    async with chat(library=FakeLibrary([*demo_entries(), broken])) as driver:
        await driver.keys("ctrl+t", *"broken")
        await driver.until(lambda: "cannot be used" in driver.screen_text and "the file is" in driver.screen_text)
        await driver.keys("enter")
        await driver.until(lambda: "broken cannot be used: /adapters/broken.gguf" in driver.remarks)
        assert (await driver.ask("Hi")).caption.startswith("● base · ")


async def test_an_adapter_that_fails_to_load_goes_back_to_the_former_one() -> None:
    engine = FakeEngine(load_errors={"coding": AdapterError("coding was made for another base", "Convert it again.")})
    async with chat(engine) as driver:
        await driver.pick(*"legal")
        await driver.pick(*"coding")
        assert "Convert it again." in driver.remarks
        assert driver.app.state.active == (MemberText("legal"),)
        await driver.keys("ctrl+t", *"coding")
        await driver.until(lambda: "coding was made for another base" in driver.screen_text)
        await driver.keys("escape")
        assert (await driver.ask("Hi")).caption.startswith("● legal · ")


async def test_an_engine_that_dies_is_opened_again_with_the_conversation() -> None:
    async with chat(FakeEngine(), second := FakeEngine()) as driver:
        await driver.pick(*"legal")
        await driver.ask("First question")
        driver.engine.gate.clear()
        await driver.type("Second question")
        await driver.until(lambda: len(driver.answers) == 2)
        driver.engine.die()
        await driver.until(lambda: driver.app.state.phase == "down")
        assert "signal 6" in driver.remarks
        assert "Ctrl+R" in driver.remarks
        assert driver.remarks.count("signal 6") == 1
        await driver.until(lambda: driver.composer.text == "Second question")
        await driver.keys("ctrl+r")
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert [file.name for file in second.loaded.values()] == ["legal"]
        await driver.keys("enter")
        await driver.until(lambda: len(second.requests) == 2 and driver.app.state.phase == "ready")
        assert driver.answers[-1].caption.startswith("● legal · ")
        assert len(second.requests[-1].tokens) > 15


async def test_a_base_that_cannot_be_opened_says_so_and_can_be_tried_again() -> None:
    async with chat(GGUFError("demo.gguf: the file is cut off", "Copy it again."), FakeEngine()) as driver:
        assert driver.app.state.phase == "down"
        assert "Copy it again." in driver.remarks
        await driver.type("Hello?")
        assert driver.composer.text == "Hello?"
        await driver.keys("ctrl+r")
        await driver.until(lambda: driver.app.state.phase == "ready")
        await driver.keys("enter")
        await driver.until(lambda: bool(driver.answers))


async def test_a_template_that_fails_and_a_message_too_long_are_given_back() -> None:
    async with chat(FakeEngine(base=base_info(ctx=64))) as driver:
        await driver.type("word " * 80)
        await driver.until(lambda: "the context holds 64" in driver.remarks)
        assert driver.composer.text.startswith("word word")
        assert driver.answers == []
        driver.composer.clear()
        driver.engine.fail_next = TemplateError("the chat template of the base failed", "Choose another.")
        await driver.type("Hi")
        await driver.until(lambda: "Choose another." in driver.remarks)
        assert (await driver.ask("")).caption.startswith("● base · ")


async def test_quit_while_the_base_opens_leaves_no_engine_behind() -> None:
    engine, complaints, reports = FakeEngine(), [], []

    async def slowly(base, report):  # type: ignore[no-untyped-def]
        reports.append(report)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return engine  # it was open already when it should not be any more

    async with chat(wait=False, opener=slowly) as driver:
        await driver.until(lambda: bool(reports))
        driver.press("ctrl+q")
        await driver.until(lambda: not driver.app.is_running)
    assert engine.closed
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    reports[0](Progress("opening the base", 2, 2))  # a thread of the engine may still be at it
    await asyncio.sleep(0.01)
    assert complaints == []


async def test_quit_during_generation_closes_the_engine() -> None:
    engine = FakeEngine(answers={"base": "word " * 5000}, token_delay=0.001)
    async with chat(engine) as driver:
        await driver.type("Talk")
        await driver.until(lambda: bool(driver.answers))
        driver.press("ctrl+q")
        await driver.until(lambda: not driver.app.is_running)
    assert engine.closed
    assert driver.app.return_code == 0


async def test_errors_of_the_engine_leave_the_prompt_to_be_sent_again() -> None:
    async with chat() as driver:
        driver.engine.fail_next = EngineError("it failed", "Look at the log.")
        await driver.type("Hello")
        await driver.until(lambda: driver.composer.text == "Hello")
        await driver.until(lambda: "Look at the log" in driver.remarks)
        await driver.until(lambda: driver.app.state.phase == "ready")


async def test_a_crash_costs_one_answer_and_nothing_else() -> None:
    async with chat() as driver:
        await driver.pick(*"legal")
        await driver.ask("First question")
        before = list(driver.engine.requests[-1].tokens)
        driver.engine.gate.clear()
        await driver.type("Second question")
        await driver.until(lambda: driver.app.state.phase == "answering")
        driver.engine.die(restarting=True)
        await driver.until(lambda: driver.composer.text == "Second question")
        assert driver.remarks.count("signal 6") == 1
        assert "conversation is kept" in driver.remarks
        driver.engine.come_back()
        await driver.until(lambda: "there again" in driver.remarks)
        assert driver.app.state.phase == "ready"
        await driver.keys("enter")
        await driver.until(lambda: len(driver.answers) == 2 and driver.app.state.phase == "ready")
        assert driver.answers[-1].caption.startswith("● legal · ")
        assert list(driver.engine.requests[-1].tokens[: len(before)]) == before
        assert len(driver.prompts) == 3  # the one that failed, too


async def test_a_pick_outlives_a_crash_while_it_is_read() -> None:
    async with chat() as driver:
        await driver.ask("First question")
        driver.engine.gate.clear()
        await driver.keys("ctrl+t", *"legal", "enter")
        await driver.until(lambda: driver.app.state.phase == "rereading")
        driver.engine.die(restarting=True)
        await driver.until(lambda: driver.app.state.phase == "ready")
        driver.engine.come_back()
        assert (await driver.ask("Second question")).caption.startswith("● legal · ")


async def test_an_adapter_that_crashes_the_engine_is_marked() -> None:
    async with chat() as driver:
        driver.engine.load_errors["legal"] = QuarantinedError("legal crashed the engine twice", "Another.", ["sha"])
        await driver.pick(*"legal")
        assert "twice" in driver.remarks
        entry = driver.app.state.entry("legal")
        assert entry
        assert driver.app.state.problem(entry) == "legal crashed the engine twice"
        assert driver.app.state.active == ()
