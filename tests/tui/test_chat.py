"""The chat driven by keys, on an engine without a model."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from support.fake_engine import FakeEngine, base_info
from textual.events import Paste

from edgelora.adapters.selection import MemberText
from edgelora.tui.widgets.progress_line import ProgressLine
from edgelora.tui.widgets.title_bar import TitleBar
from edgelora.tui.widgets.welcome import Example
from edgelora.types import AdapterLoaded, Progress
from tests.tui.driving import chat
from tests.tui.fake_library import FakeLibrary, entry

SOAP = "S: cough\nO: fever\nA: flu\nP: rest"


async def test_the_first_screen_says_what_is_loaded_and_how_to_go_on() -> None:
    async with chat(is_demo=True, size=(80, 24)) as driver:
        await driver.until(lambda: "medical" in driver.screen_text)
        shown = driver.screen_text
        for said in (
            "Test base",
            "Q8_0",
            "4 adapters",
            "tiny demo",
            "I passed my driving",
            "/edgelora/adapters",
            "--base ANY.gguf",
        ):
            assert said in shown


async def test_the_first_screen_counts_adapters_that_cannot_be_used_apart() -> None:
    library = FakeLibrary([entry("good"), entry("bad", problem="broken"), entry("other", problem="for another base")])
    async with chat(library=library, size=(160, 36)) as driver:
        await driver.until(lambda: "1 adapter, 2 unusable" in driver.screen_text)


async def test_a_number_picks_an_adapter_and_writes_its_example() -> None:
    async with chat(is_demo=True) as driver:
        await driver.keys("4")
        await driver.until(lambda: driver.app.state.settled == (MemberText("medical"),))
        assert driver.composer.text == "Patient reports a dry cough for five days."
        await driver.keys("4")
        assert driver.composer.text.endswith("days.4")


async def test_a_number_and_enter_at_once_send_the_example() -> None:
    async with chat(is_demo=True) as driver:
        driver.press("4", "enter")
        await driver.until(lambda: driver.prompts == ["Patient reports a dry cough for five days."])
        await driver.until(lambda: driver.app.state.phase == "ready" and bool(driver.answers))
        assert driver.answers[-1].caption.startswith("● medical")
        assert driver.composer.text == ""


async def test_swap_in_the_middle_of_a_conversation() -> None:
    async with chat(FakeEngine(answers={"medical": SOAP, "legal": "**Confidentiality.** Agreed."})) as driver:
        await driver.pick(*"medi")
        first = await driver.ask("A cough")
        assert first.text == SOAP
        assert first.caption.startswith("● medical · TTFT ")
        await driver.pick(*"leg")
        reread = driver.engine.requests[-1]
        assert reread.sampling.max_tokens == 0
        second = await driver.ask("Now a clause")
        assert second.caption.startswith("● legal · ")
        assert driver.engine.requests[-1].tokens[: len(reread.tokens)] == reread.tokens
        assert first.caption.startswith("● medical")
        assert "O: fever" in driver.screen_text.replace("▌", "")


async def test_scale_with_keys_down_to_without() -> None:
    async with chat() as driver:
        await driver.pick(*"legal", *["left"] * 3)
        assert driver.app.state.active == (MemberText("legal", 0.7),)
        assert (await driver.ask("Hi")).caption.startswith("● legal 0.7 ·")
        await driver.pick(*["minus"] * 12)
        assert driver.app.state.active == (MemberText("legal", 0.0),)
        assert (await driver.ask("Hi")).caption.startswith("● base ·")
        await driver.pick(*["plus"] * 30)
        assert driver.app.state.active == (MemberText("legal", 2.0),)


async def test_mix_two_adapters_and_leave_one_again() -> None:
    async with chat() as driver:
        await driver.pick(*"legal", "space", *"medicaX", "backspace", "l", "space", *["left"] * 7)
        assert (await driver.ask("Hi")).caption.startswith("● legal + medical 0.3 ·")
        await driver.keys("ctrl+t")
        await driver.until(lambda: driver.picker.highlighted == "legal")
        await driver.keys("space", "enter")
        await driver.until(lambda: driver.app.state.active == (MemberText("medical", 0.3),))


async def test_the_filter_narrows_and_escape_changes_nothing() -> None:
    async with chat() as driver:
        await driver.pick(*"coding")
        await driver.keys("ctrl+t", *"ga", "left")
        assert driver.picker.highlighted == "legal"
        assert "chat\n" not in driver.screen_text
        await driver.keys("escape")
        assert driver.app.focused is driver.composer
        assert driver.app.state.active == (MemberText("coding"),)


async def test_a_filter_that_matches_nothing_picks_nothing() -> None:
    async with chat() as driver:
        await driver.pick(*"legal")
        await driver.keys("ctrl+t", *"zebra", "enter")
        assert driver.picker.has_focus_within
        assert "no adapter of that name" in driver.screen_text
        await driver.keys("escape")
        assert driver.app.state.active == (MemberText("legal"),)


async def test_escape_stops_an_answer_and_keeps_what_was_said() -> None:
    async with chat(FakeEngine(answers={"base": "word " * 500}, token_delay=0.002)) as driver:
        await driver.type("Go on for ever")
        await driver.until(lambda: bool(driver.answers) and len(driver.answers[0].text) > 20)
        await driver.keys("escape")
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert driver.answers[0].caption.endswith("stopped")
        assert 20 < len(driver.answers[0].text) < 2000


async def test_a_swap_while_an_answer_streams_is_for_the_next_message() -> None:
    engine = FakeEngine(answers={"base": "word " * 300}, close_after=20)
    async with chat(engine) as driver:
        await driver.type("Talk")
        await driver.until(lambda: bool(driver.answers) and bool(driver.answers[0].text))
        await driver.keys("ctrl+t", *"legal", "enter")
        await driver.until(lambda: driver.composer.border_title == "next: legal")
        engine.gate.set()
        await driver.until(lambda: driver.app.state.settled == (MemberText("legal"),))
        assert driver.answers[0].caption.startswith("● base · ")
        assert len(driver.answers[0].text.split()) == 300
        assert (await driver.ask("And now?")).caption.startswith("● legal · ")


async def test_rereading_shows_progress_and_escape_goes_back() -> None:
    async with chat() as driver:
        await driver.pick(*"medical")
        await driver.ask("A cough")
        await driver.pick(*"legal")
        await driver.pick(*"medical")
        driver.engine.gate.clear()
        await driver.keys("ctrl+t", *"coding", "enter")
        await driver.until(lambda: driver.app.state.phase == "rereading")
        driver.engine.gate.set()
        driver.engine.token_delay = 0.05
        await driver.until(lambda: "under coding · Esc: back to medical" in driver.screen_text)
        await driver.keys("escape")
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert driver.app.state.active == (MemberText("medical"),)
        assert not driver.app.query_one(ProgressLine).display
        driver.engine.token_delay = 0
        assert (await driver.ask("Still there?")).caption.startswith("● medical · ")


async def test_a_message_during_rereading_is_answered_under_the_new_adapter() -> None:
    async with chat() as driver:
        await driver.ask("Hello")
        await driver.pick(*"legal")
        await driver.pick("up")
        driver.engine.gate.clear()
        await driver.keys("ctrl+t", *"legal", "enter")
        await driver.until(lambda: driver.app.state.phase == "rereading")
        await driver.type("A clause")
        driver.engine.gate.set()
        await driver.until(lambda: len(driver.answers) == 2 and driver.app.state.phase == "ready")
        assert driver.answers[-1].caption.startswith("● legal · ")


async def test_a_message_sent_while_the_base_opens_is_answered_then() -> None:
    async with chat(wait=False) as driver:
        answer = await driver.ask("Quick")
        assert answer.caption.startswith("● base · ")


async def test_turns_that_are_left_out_are_announced_before_the_answer() -> None:
    async with chat(FakeEngine(base=base_info(ctx=128), answers={"base": "word " * 10})) as driver:
        for n in range(6):
            await driver.ask(f"Question {n}")
        assert "The context is full: the oldest" in driver.remarks


async def test_an_adapter_without_effect_is_reported() -> None:
    class Idle(FakeEngine):
        async def load(self, adapter):  # type: ignore[no-untyped-def]
            status = replace(await super().load(adapter), effect=0.0)
            self._events.put_nowait(AdapterLoaded(status))
            return status

    async with chat(Idle()) as driver:
        await driver.pick(*"legal")
        await driver.until(lambda: "legal changes nothing on this base" in driver.remarks)


async def test_exclusive_mode_says_why_and_what_a_swap_costs() -> None:
    class Slow(FakeEngine):
        async def load(self, adapter):  # type: ignore[no-untyped-def]
            status = replace(await super().load(adapter), swap_ms=7.25)
            self._events.put_nowait(AdapterLoaded(status))
            return status

    async with chat(Slow(replace(base_info(), mode="exclusive", mode_reason="recurrent memory"))) as driver:
        await driver.pick(*"legal")
        await driver.until(lambda: "a swap costs 7.2 ms" in driver.remarks)
        assert "recurrent memory" in driver.remarks


async def test_resize_to_a_small_terminal_keeps_everything_in_reach() -> None:
    async with chat(size=(140, 40)) as driver:
        await driver.ask("Hello")
        assert driver.picker.display
        await driver.pilot.resize_terminal(60, 20)
        await driver.until(lambda: not driver.picker.display)
        await driver.keys("ctrl+t", *"legal", "left")
        await driver.until(lambda: "legal  ×0.9" in driver.screen_text)
        await driver.keys("enter")
        await driver.until(lambda: driver.app.state.settled == (MemberText("legal", 0.9),))
        assert not driver.picker.display
        await driver.ask("Hello again")
        await driver.until(lambda: "● legal 0.9 · TTFT" in driver.screen_text)
        assert {len(line) for line in driver.screen_text.splitlines()} == {60}


async def test_new_conversation_forgets_turns_and_keeps_the_adapter() -> None:
    async with chat() as driver:
        await driver.pick(*"legal")
        await driver.ask("First")
        await driver.keys("ctrl+n")
        await driver.until(lambda: driver.answers == [])
        await driver.ask("Second")
        assert driver.prompts == ["Second"]
        assert len(driver.engine.requests[-1].tokens) < 15


async def test_the_mouse_chooses_examples_and_adapters() -> None:
    async with chat() as driver:
        await driver.until(
            lambda: bool(driver.app.query(Example)) and driver.app.query(Example).first().region.height > 0
        )
        await driver.pilot.pause()  # laid out, and nothing is about to move
        await driver.pilot.click(Example)
        await driver.until(lambda: driver.app.state.settled == (MemberText("chat"),))
        assert driver.composer.text == "I passed my driving test today!"
        await driver.pilot.click("#rows", offset=(4, 3))
        await driver.until(lambda: driver.app.state.settled == (MemberText("legal"),))
        assert driver.app.focused is driver.composer


async def test_several_lines_and_a_long_paste_go_into_one_message() -> None:
    async with chat() as driver:
        await driver.keys("a", "ctrl+j", "b")
        assert driver.composer.text == "a\nb"
        driver.composer.clear()
        driver.app.post_message(Paste("long line\n" * 10_000))
        await driver.until(lambda: driver.composer.text.count("\n") == 10_000)
        assert driver.composer.size.height <= 10


async def test_ctrl_c_says_how_to_quit() -> None:
    async with chat() as driver:
        await driver.keys("ctrl+c")
        await driver.until(lambda: "ctrl+q" in driver.screen_text)


async def test_an_initial_selection_by_path_and_one_that_is_wrong() -> None:
    async with chat(selection="/elsewhere/new-one.gguf:0.5") as driver:
        await driver.until(lambda: driver.app.state.settled == (MemberText("new-one", 0.5),))
    async with chat(selection="/nowhere/x.gguf") as driver:
        await driver.until(lambda: "begins on the base" in driver.remarks)
        assert (await driver.ask("Hi")).caption.startswith("● base · ")


async def test_opening_shows_its_progress() -> None:
    release = asyncio.Event()

    async def slowly(base, report):  # type: ignore[no-untyped-def]
        report(Progress("opening the base", 1, 2))
        await release.wait()
        return FakeEngine()

    async with chat(wait=False, opener=slowly) as driver:
        await driver.until(lambda: "50 %  Opening the base" in driver.screen_text)
        release.set()
        await driver.until(lambda: driver.app.state.phase == "ready")
        assert "Test base" in str(driver.app.query_one(TitleBar).content)
