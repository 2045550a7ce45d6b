"""Earlier conversations, found again and gone on with, on an engine without a model."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from support.fake_engine import FakeEngine
from textual.widgets import Input, OptionList, Static

from edgelora.adapters.selection import MemberText
from edgelora.chat.history.records import ConversationInfo, OnBase, StoredConversation, StoredTurn
from edgelora.chat.history.store import History
from edgelora.tui.dialogs import SamplingDialog, SystemPromptDialog
from edgelora.tui.history_screen import HistoryScreen
from edgelora.types import AttestedAdapter, Finished, ReportProgress, SamplingParams
from tests.tui.driving import Driver, chat
from tests.tui.fake_library import FakeLibrary

MADE_BY = Finished("r", "stop", (AttestedAdapter("legal", "ab" * 32, 0.5),), 10, 2, 5, 12.5, 80.0)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "h.sqlite3"


def keep(
    file: Path, *prompts: str, selection: str = "base", base: str = "Test base", made_by: Finished = MADE_BY
) -> None:
    """A conversation of these prompts, made before."""
    history = History(file)
    conversation, turn = history.begin(prompts[0], selection, base=OnBase(base))
    history.finish(turn, f"Answer to {prompts[0]}", made_by)
    for prompt in prompts[1:]:
        turn = history.ask(conversation, turn, prompt, selection, OnBase(base))
        history.finish(turn, f"Answer to {prompt}", made_by)
    history.close()


def keep_long(file: Path, messages: int) -> None:
    """A conversation of so many messages."""
    turns = tuple(
        StoredTurn(i + 1, i or None, f"Question {i}", f"Answer **{i}**\n\n* one\n* two", "base", float(i), MADE_BY)
        for i in range(messages // 2)
    )
    history = History(file)
    history.add(StoredConversation(ConversationInfo(0, "Long", "Test base", 0, 1, 0), "", len(turns), turns))
    history.close()


def titles(driver: Driver) -> list[str]:
    rows = driver.app.screen.query_one("#conversations", OptionList)
    return [str(option.prompt).split("\n")[0] for option in rows.options]


def said(driver: Driver) -> str:
    return str(driver.app.screen.query_one("#said", Static).content)


async def browse(driver: Driver, n: int) -> None:
    """Open the list and wait for ``n`` rows."""
    await driver.keys("ctrl+o")
    await driver.until(lambda: isinstance(driver.app.screen, HistoryScreen) and len(titles(driver)) == n)


async def opened(driver: Driver, prompts: list[str]) -> None:
    await driver.keys("enter")
    await driver.until(lambda: not isinstance(driver.app.screen, HistoryScreen) and driver.prompts == prompts)
    await driver.until(lambda: driver.app.state.phase == "ready")
    await driver.settled()


async def test_a_conversation_goes_on_where_it_ended(file: Path) -> None:
    keep(file, "First", "Second", selection="legal:0.5")
    async with chat(open_history=lambda: History(file)) as driver:
        await driver.until(lambda: "earlier conversation: First" in driver.screen_text)
        await browse(driver, 1)
        await opened(driver, ["First", "Second"])
        assert driver.app.state.active == (MemberText("legal", 0.5),)
        assert driver.answers[0].caption.startswith("● legal 0.5 · TTFT 12 ms")
        await driver.until(lambda: bool(driver.engine.requests))
        reread = driver.engine.requests[-1]
        assert reread.sampling.max_tokens == 0
        await driver.ask("Third")
        assert driver.engine.requests[-1].tokens[: len(reread.tokens)] == reread.tokens
        await browse(driver, 1)
        await driver.until(lambda: "3 turns" in driver.screen_text)
        await driver.until(lambda: "open" in titles(driver)[0])
    history = History(file)
    assert [turn.prompt for turn in history.get(1).branch(history.get(1).head)] == ["First", "Second", "Third"]
    history.close()


async def test_a_conversation_is_shown_while_the_base_opens(file: Path) -> None:
    keep(file, "First")
    release = asyncio.Event()
    engine = FakeEngine()

    async def slowly(base: Path, report: ReportProgress) -> FakeEngine:
        await release.wait()
        return engine

    async with chat(wait=False, opener=slowly, open_history=lambda: History(file)) as driver:
        await driver.until(lambda: "earlier conversation: First" in driver.screen_text)
        await browse(driver, 1)
        await driver.keys("enter")
        await driver.until(lambda: driver.prompts == ["First"])
        release.set()
        await driver.until(lambda: driver.app.state.phase == "ready" and bool(engine.requests))
        await driver.ask("Second")
        assert len(engine.requests[-1].tokens) > len(engine.requests[0].tokens)


async def test_it_says_so_on_another_base_and_without_its_adapter(file: Path) -> None:
    keep(file, "First", selection="poetry", base="Another base")
    async with chat(open_history=lambda: History(file)) as driver:
        await browse(driver, 1)
        await opened(driver, ["First"])
        await driver.until(lambda: "Made on Another base; it goes on with Test base." in driver.remarks)
        await driver.until(lambda: "poetry is not in this library; it goes on with base." in driver.remarks)
        assert (await driver.ask("More")).caption.startswith("● base")


async def test_searching_renaming_and_deleting(file: Path) -> None:
    for prompt in ("Bread", "Cheese", "Wine"):
        keep(file, prompt)
    async with chat(open_history=lambda: History(file)) as driver:
        await browse(driver, 3)
        await driver.until(lambda: titles(driver) == ["Wine", "Cheese", "Bread"])
        await driver.keys(*"to che")
        await driver.until(lambda: titles(driver) == ["Cheese"])
        await driver.keys("f2")
        driver.app.screen.query_one("#entry", Input).value = "Camembert"
        await driver.keys("enter")
        await driver.until(lambda: titles(driver) == ["Camembert"])
        await driver.keys("f8")
        await driver.until(lambda: titles(driver) == [])
        await driver.keys("f9")
        await driver.until(lambda: titles(driver) == ["Camembert"])
        await driver.keys("escape")
        await driver.until(lambda: len(titles(driver)) == 3)
        await driver.keys("down", "f8", "escape")
        await driver.until(lambda: not isinstance(driver.app.screen, HistoryScreen))
        await browse(driver, 2)
        await driver.until(lambda: titles(driver) == ["Wine", "Bread"])


async def test_the_open_conversation_is_not_deleted(file: Path) -> None:
    async with chat(open_history=lambda: History(file)) as driver:
        await driver.ask("Hello")
        await browse(driver, 1)
        await driver.keys("f8")
        await driver.until(lambda: "is open" in said(driver))
        await driver.until(lambda: len(titles(driver)) == 1)


async def test_exporting_and_importing(file: Path) -> None:
    keep(file, "Bread & butter")
    async with chat(open_history=lambda: History(file)) as driver:
        await browse(driver, 1)
        await driver.keys("f4")
        await driver.until(lambda: "bread-butter.md" in said(driver))
        assert "Answer to Bread & butter" in Path("bread-butter.md").read_text()
        await driver.keys("f5")
        await driver.until(lambda: "bread-butter.json" in said(driver))
        await driver.keys("f5")
        await driver.until(lambda: "bread-butter-2.json" in said(driver))
        await driver.keys("f6")
        driver.app.screen.query_one("#entry", Input).value = "bread-butter.md"
        await driver.keys("enter")
        await driver.until(lambda: "is no conversation" in said(driver))
        await driver.keys("f6")
        driver.app.screen.query_one("#entry", Input).value = "bread-butter.json"
        await driver.keys("enter")
        await driver.until(lambda: len(titles(driver)) == 2)
        await opened(driver, ["Bread & butter"])


async def test_a_long_conversation_is_gone_through_by_keys(file: Path) -> None:
    keep_long(file, 2000)
    async with chat(open_history=lambda: History(file), size=(100, 30)) as driver:
        await browse(driver, 1)
        await driver.keys("enter")
        await driver.until(lambda: "Question 999" in driver.screen_text)
        await driver.until(lambda: driver.app.state.phase == "ready")
        for _ in range(12):
            before = driver.screen_text
            await driver.keys("pageup")
            await driver.until(lambda before=before: driver.screen_text != before)  # type: ignore[misc]
        assert "Question 999" not in driver.screen_text
        await driver.keys("up")
        await driver.until(lambda: driver.app.focused is driver.transcript)
        await driver.keys("home")
        await driver.until(lambda: "Question 0" in driver.screen_text)
        await driver.keys("end")
        await driver.until(lambda: "Question 999" in driver.screen_text)
        assert len(driver.transcript.children) == 1


async def test_an_answer_that_was_cut_short_is_shown_and_not_gone_on_from(file: Path) -> None:
    keep(file, "First")
    history = History(file)
    history.write(history.ask(1, 1, "Second", "base"), "half of it")
    history.close()
    async with chat(open_history=lambda: History(file)) as driver:
        await browse(driver, 1)
        await opened(driver, ["First", "Second"])
        assert driver.answers[-1].caption.startswith("● broken off")
        await driver.ask("Third")
        keeping = driver.app._conductor.keeping
        assert [one.prompt for one in keeping.tree.head.branch()] == ["First", "Third"]  # type: ignore[union-attr]


async def test_a_history_that_cannot_be_used_is_one_remark(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with chat(open_history=lambda: History(tmp_path / "file" / "h.sqlite3")) as driver:
        await driver.ask("First")
        await driver.until(lambda: "This conversation is not kept" in driver.remarks)
        await driver.ask("Second")
        assert driver.remarks.count("This conversation is not kept") == 1
        await driver.keys("ctrl+o")
        await driver.until(lambda: isinstance(driver.app.screen, HistoryScreen) and bool(said(driver)))


async def test_system_prompt_and_sampling_belong_to_a_conversation(file: Path) -> None:
    engine = FakeEngine()
    async with chat(engine, open_history=lambda: History(file)) as driver:
        await driver.ask("First")
        await driver.command("System prompt")
        await driver.until(lambda: isinstance(driver.app.screen, SystemPromptDialog))
        await driver.keys(*"Brief")
        await driver.keys("ctrl+s")
        await driver.until(lambda: driver.app._conductor.keeping.system == "Brief")
        await driver.command("Sampling")
        await driver.until(
            lambda: isinstance(driver.app.screen, SamplingDialog) and isinstance(driver.app.focused, Input)
        )
        for key in ("end", *["backspace"] * 3, "x", "enter"):  # bindings run before letters typed in the same moment
            await driver.keys(key)
        await driver.until(lambda: "'x' is no number" in driver.screen_text)
        await driver.keys("backspace")
        await driver.keys("0")
        await driver.keys("enter")
        await driver.until(lambda: driver.app._conductor.sampling(()).temperature == 0)
        await driver.until(lambda: len(engine.requests) == 3 and driver.app.state.phase == "ready")
        assert (await engine.tokenize("Brief"))[0] in engine.requests[-1].tokens
        await driver.ask("Second")
        assert engine.requests[-1].sampling.temperature == 0
        await driver.keys("ctrl+n")
        await driver.until(lambda: driver.answers == [])
        await driver.ask("Other")
        assert engine.requests[-1].sampling.temperature == SamplingParams().temperature
        assert (await engine.tokenize("Brief"))[0] not in engine.requests[-1].tokens
        await browse(driver, 2)
        await driver.keys("down")
        await opened(driver, ["First", "Second"])
        await driver.ask("Third")
        assert engine.requests[-1].sampling.temperature == 0
        assert (await engine.tokenize("Brief"))[0] in engine.requests[-1].tokens


class SlowHistory(History):
    """Reads a conversation when it may."""

    may_read = threading.Event()

    def get(self, conversation: int) -> StoredConversation:
        assert self.may_read.wait(60)
        return super().get(conversation)


async def test_what_is_asked_while_a_conversation_is_read_goes_on_from_it(file: Path) -> None:
    keep(file, "First")
    SlowHistory.may_read.set()
    async with chat(open_history=lambda: SlowHistory(file)) as driver:
        await driver.ask("Of another")
        await browse(driver, 2)
        await driver.keys("down")
        SlowHistory.may_read.clear()
        await driver.keys("enter")
        await driver.until(lambda: not isinstance(driver.app.screen, HistoryScreen))
        await driver.type("Second")
        assert driver.prompts == ["Of another"]
        SlowHistory.may_read.set()
        await driver.until(lambda: driver.prompts == ["First", "Second"] and driver.app.state.phase == "ready")
        await driver.app.workers.wait_for_complete()
    history = History(file)
    kept = {info.title: [turn.prompt for turn in history.get(info.id).turns] for info in history.list()}
    history.close()
    assert kept == {"First": ["First", "Second"], "Of another": ["Of another"]}


async def test_a_question_stopped_before_the_engine_is_asked_leaves_nothing(file: Path) -> None:
    library = SlowLibrary()
    async with chat(library=library, open_history=lambda: History(file)) as driver:
        await driver.pick(*"legal")
        library.may_go_on.clear()
        await driver.type("Too early")
        await driver.until(lambda: bool(driver.answers) and driver.app.state.phase == "answering")
        await driver.keys("escape")
        library.may_go_on.set()
        await driver.until(lambda: driver.app.state.phase == "ready")
        await driver.until(lambda: driver.composer.text == "Too early")
        assert not driver.answers
        await browse(driver, 0)
    assert not History(file).list()


class SlowLibrary(FakeLibrary):
    """Takes as long as a test likes for its files."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def resolve(self, *args: Any) -> Any:
        self.may_go_on.wait()
        return super().resolve(*args)
