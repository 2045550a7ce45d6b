"""Answers beside each other, driven by keys on an engine without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fake_engine import FakeEngine
from textual.app import App

from edgelora.adapters.selection import MemberText
from edgelora.errors import AdapterError
from edgelora.tui.widgets.column import Column, Head, Parts
from edgelora.tui.widgets.columns import Columns
from edgelora.tui.widgets.columns_chooser import ColumnsChooser
from edgelora.types import SamplingParams
from tests.tui.driving import Driver, chat
from tests.tui.fake_baker import FakeBaker
from tests.tui.fake_library import FakeLibrary, entry

if TYPE_CHECKING:
    from edgelora.tui.picks import Pick

BASE: Pick = ()
LEGAL: Pick = (MemberText("legal"),)
MEDICAL: Pick = (MemberText("medical"),)


async def choose(driver: Driver, *keys: str) -> None:
    """Press ``keys`` in the chooser, then Enter."""
    await driver.keys("ctrl+g")
    await driver.until(lambda: isinstance(driver.app.screen, ColumnsChooser))
    await driver.keys(*keys, "enter")
    await driver.until(lambda: not isinstance(driver.app.screen, ColumnsChooser))
    await driver.settled()
    await driver.until(lambda: driver.app.state.phase == "ready")


async def ask(driver: Driver, prompt: str = "Hello") -> Columns:
    """Send a prompt and wait until all of its columns are painted."""
    await driver.type(prompt)
    await driver.app.workers.wait_for_complete()
    await driver.until(lambda: bool(driver.app.query(Columns)) and columns(driver).is_complete)
    await driver.app.workers.wait_for_complete()
    await driver.settled()
    return columns(driver)


def columns(driver: Driver) -> Columns:
    return driver.app.query(Columns).last(Columns)


def answers(driver: Driver) -> list[str]:
    """What the conversation consists of."""
    session = driver.app._conductor.session
    return [turn.answer for turn in session.conversation.turns] if session else []


async def test_the_base_beside_an_adapter_takes_a_key_and_its_name() -> None:
    async with chat() as driver:
        await choose(driver, *"legal")
        assert driver.composer.border_title == "compare: base | legal"
        shown = await ask(driver)
        assert [column.text for column in shown.columns] == ["An answer from base.", "An answer from legal."]
        assert [column.caption.split(" · ")[0] for column in shown.columns] == ["● base", "● legal"]
        for said in ("● 1 base", "○ 2 legal", "An answer from legal.", "1-2 go on from another column"):
            assert said in driver.screen_text
        first, second = driver.engine.requests[-2:]
        assert first.tokens == second.tokens
        assert answers(driver) == ["An answer from base."]


async def test_marks_scales_and_sweeps_in_the_chooser() -> None:
    async with chat() as driver:
        await choose(driver, *"legal", *["left"] * 5, "space", *"medical", "space", "up", "right", "space", "down")
        assert driver.app.state.columns == (BASE, (MemberText("legal", 0.5),), MEDICAL, (MemberText("legal", 0.6),))
        await driver.keys("ctrl+g")
        await driver.until(lambda: isinstance(driver.app.screen, ColumnsChooser))
        await driver.keys(*"coding", "space")
        assert len(driver.app.screen.query_one("#column-chips").content.plain.split("│")) == 4  # type: ignore[attr-defined]
        await driver.keys("ctrl+s", "enter")
        scales = (0.25, 0.5, 0.75, 1.0)
        await driver.until(lambda: driver.app.state.columns == tuple((MemberText("coding", s),) for s in scales))
        assert "coding 0.25 | coding 0.5" in str(driver.composer.border_title)


async def test_the_conversation_goes_on_from_the_column_that_is_chosen() -> None:
    async with chat() as driver:
        await choose(driver, *"legal")
        await ask(driver)
        await driver.keys("2")
        assert answers(driver) == ["An answer from legal."]
        assert driver.app.state.active == LEGAL
        assert "● 2 legal" in driver.screen_text
        await driver.keys("1", "2")
        await ask(driver, "2 more")
        assert answers(driver) == ["An answer from legal."] * 2, "the column of the adapter in use is the default"
        assert [exchange.answer for exchange in driver.app._conductor.keeping.tree.exchanges] == [
            "An answer from base.",
            "An answer from legal.",
        ] * 2
        await driver.pilot.click(driver.app.query(Columns).first(Columns).query(Head).first())
        assert len(answers(driver)) == 2, "what was asked before cannot be chosen any more"


async def test_columns_are_chosen_with_the_mouse_and_at_the_columns() -> None:
    async with chat() as driver:
        await choose(driver, *"legal")
        shown = await ask(driver)
        await driver.pilot.click(shown.query(Column).last())
        await driver.settled()
        assert answers(driver) == ["An answer from legal."]
        assert driver.app.focused is not shown
        shown.focus()
        await driver.keys("left")
        assert answers(driver) == ["An answer from base."]
        await driver.keys("2", "d", "enter")
        assert answers(driver) == ["An answer from legal."]
        assert shown.differing
        assert driver.app.focused is driver.composer


async def test_a_choice_while_columns_answer_holds_when_they_have_ended() -> None:
    engine = FakeEngine()
    async with chat(engine) as driver:
        await choose(driver, *"legal")
        engine.gate.clear()
        await driver.type("Hello")
        await driver.until(lambda: driver.composer.examples == 2)
        await driver.keys("2")
        assert answers(driver) == []
        engine.gate.set()
        await driver.until(lambda: answers(driver) == ["An answer from legal."])
        assert driver.app.state.active == LEGAL


async def test_escape_stops_all_columns() -> None:
    engine = FakeEngine(answers={"base": "word " * 900, "legal": "word " * 900}, token_delay=0.001)
    async with chat(engine) as driver:
        await choose(driver, *"legal")
        await driver.type("Go on for ever")
        await driver.until(
            lambda: bool(driver.app.query(Columns)) and all(c.body.source for c in columns(driver).columns)
        )
        await driver.keys("escape")
        await driver.until(lambda: columns(driver).is_complete)
        assert all(column.caption.endswith("stopped") for column in columns(driver).columns)
        assert len(answers(driver)) == 1
        assert driver.app.state.phase == "ready"


async def test_a_column_that_fails_leaves_the_others() -> None:
    engine = FakeEngine(load_errors={"legal": AdapterError("legal is broken", "Convert it again.")})
    async with chat(engine) as driver:
        await driver.pick(*"medical")
        await choose(driver, "backspace", *"legal")
        assert driver.app.state.columns == (BASE, MEDICAL)
        await choose(driver, *"legal", "space")
        assert driver.app.state.columns == (BASE, MEDICAL, LEGAL)
        shown = await ask(driver)
        assert "legal is broken" in shown.columns[2].caption
        assert "○ 3 legal failed" in driver.screen_text
        await driver.keys("3")
        assert answers(driver) == ["An answer from medical."]
        assert "legal is broken" in driver.app.state.problems.values()


async def test_where_all_columns_fail_the_prompt_comes_back() -> None:
    engine = FakeEngine()
    async with chat(engine) as driver:
        await choose(driver, *"legal")
        engine.die()
        await driver.until(lambda: driver.app.state.phase == "down")
        await driver.type("Hello")
        assert driver.composer.text == "Hello"
    engine = FakeEngine(load_errors={name: AdapterError("broken") for name in ("legal", "medical")})
    async with chat(engine) as driver:
        await choose(driver, "space", *"legal", "space", *"medical", "space")
        await ask(driver)
        assert driver.composer.text == "Hello"
        assert answers(driver) == []
        assert driver.app._conductor.keeping.tree.exchanges == []


async def test_what_ends_comparing() -> None:
    async with chat() as driver:
        await choose(driver, *"legal")
        await ask(driver)
        await driver.pick(*"medical")
        assert (await driver.ask("Hello")).text == "An answer from medical."
        await driver.keys("1", "backspace")
        assert driver.composer.examples == 0
        await driver.command("compare the base with the chosen")
        assert driver.app.state.columns == (BASE, MEDICAL)
        await driver.command("stop comparing")
        assert driver.composer.border_title == "medical"
        await choose(driver, "space", *"medical", "space", *"base")
        assert driver.app.state.columns == ()
        await driver.until(lambda: driver.app.state.settled == BASE)


async def test_the_scale_of_an_adapter_is_swept_from_the_palette() -> None:
    async with chat() as driver:
        await driver.pick(*"legal", "left")
        await driver.command("sweep the scale of legal")
        shown = await ask(driver)
        assert [column.caption.split(" · ")[0] for column in shown.columns] == [
            "● legal 0.25",
            "● legal 0.5",
            "● legal 0.75",
            "● legal",
        ]


async def test_differences_between_columns() -> None:
    engine = FakeEngine(answers={"base": "The *same* beginning.", "legal": "The same end."})
    async with chat(engine) as driver:
        await choose(driver, *"legal")
        await driver.keys("ctrl+d")
        shown = await ask(driver)
        await driver.keys("ctrl+d")
        await driver.app.workers.wait_for_complete()
        assert [column.body.marks for column in shown.columns] == [{0: [(9, 18)]}, {0: [(9, 12)]}]
        await driver.keys("ctrl+d")
        await driver.app.workers.wait_for_complete()
        assert [column.body.marks for column in shown.columns] == [{}, {}]


async def test_columns_are_tabs_where_there_is_no_room() -> None:
    async with chat(size=(60, 20)) as driver:
        await choose(driver, *"legal", "space", *"medical", "space")
        shown = await ask(driver)
        assert "An answer from base." in driver.screen_text
        assert "An answer from legal." not in driver.screen_text
        for name in ("● 1 base", "○ 2 legal", "○ 3 medical"):
            assert name in driver.screen_text
        await driver.keys("3", "ctrl+d")
        await driver.app.workers.wait_for_complete()
        await driver.until(lambda: "An answer from medical." in driver.screen_text)
        await driver.until(lambda: shown.columns[2].body.marks == {0: [(15, 22)]})
        await driver.pilot.resize_terminal(130, 30)
        await driver.until(lambda: "An answer from base." in driver.screen_text)


async def test_beside_a_baked_base_the_adapters_are_swapped_again() -> None:
    async with chat(FakeEngine(), FakeEngine(), FakeEngine(), baker=FakeBaker()) as driver:
        await driver.pick(*"legal")
        await driver.command("bake the chosen")
        await driver.until(lambda: driver.app.state.baked == LEGAL and driver.app.state.phase == "ready")
        await choose(driver, *"medical", "space")
        assert driver.app.state.baked == ()
        assert driver.app.state.columns == (BASE, LEGAL, MEDICAL)


async def test_each_column_is_sampled_as_the_card_of_its_adapter_says() -> None:
    library = FakeLibrary([entry("legal", sampling={"temperature": 0.25}), entry("medical")])
    async with chat(library=library) as driver:
        await driver.pick(*"legal")
        await driver.ask("Alone")
        assert driver.engine.requests[-1].sampling.temperature == 0.25
        await choose(driver)
        await ask(driver)
        asked = {bool(each.selection.adapters): each.sampling.temperature for each in driver.engine.requests[-2:]}
        assert asked == {False: SamplingParams().temperature, True: 0.25}


@pytest.mark.parametrize("width", [12, 20, 26, 58])
async def test_captions_break_between_their_parts(width: int) -> None:
    parts = ["● legal 0.25", "TTFT 2,345 ms", "1,204 tok/s", "1,200 tokens"]
    page = App[None]()
    async with page.run_test(size=(width + 1, 20)) as pilot:
        caption = Parts(" · ".join(parts))
        caption.styles.width = width
        await page.mount(caption)
        await pilot.pause()
        lines = [caption.render_line(y).text.strip() for y in range(caption.size.height)]
        assert all(any(part in line for line in lines) for part in parts if len(part) <= width)
        assert all(len(line) <= width for line in lines)


async def test_a_number_beyond_the_columns_chooses_nothing_while_they_answer() -> None:
    async with chat(FakeEngine(close_after=1)) as driver:
        await choose(driver, *"legal")
        await driver.type("Hello")
        await driver.until(lambda: bool(driver.app.query(Columns)))
        driver.app._comparing.choose(3)
        driver.engine.gate.set()
        await driver.until(lambda: columns(driver).is_complete)
        assert columns(driver).chosen == 0


async def test_a_terminal_of_one_cell_is_no_error() -> None:
    async with chat(FakeEngine(close_after=1)) as driver:
        await choose(driver, *"legal", "space", *"medical", "space", *"coding", "space")
        await driver.type("Hello")
        await driver.until(lambda: bool(driver.app.query(Columns)))
        for width in (1, 3, 6, 120):
            await driver.pilot.resize_terminal(width, 30)
            await driver.settled()
        driver.engine.gate.set()
        await driver.until(lambda: columns(driver).is_complete)


async def test_columns_that_are_chosen_no_longer_are_asked_what_was_sent_to_them() -> None:
    async with chat() as driver:
        await choose(driver, *"legal")
        asked = driver.app._comparing.ask("Hello")
        await driver.app._comparing.end()
        await asked
        await driver.until(lambda: columns(driver).is_complete)
        assert [column.text for column in columns(driver).columns] == ["An answer from base.", "An answer from legal."]
        assert driver.app.state.columns == ()
