"""Conversations are kept while they are made, and a disk that fails takes nothing from the chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgelora.chat.history import recorder as module
from edgelora.chat.history.recorder import Recorder
from edgelora.chat.history.records import OnBase
from edgelora.chat.history.store import History
from edgelora.errors import HistoryError
from edgelora.types import Finished, SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

MADE_BY = Finished("r", "stop", (), 10, 2, 5, 12.5, 80.0)


class Kept:
    """A recorder and what it complained of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complaints: list[HistoryError] = []
        self.recorder = Recorder(lambda: History(path), self.complaints.append)

    def conversations(self) -> list[list[tuple[int, int | None, str, str, bool]]]:
        """After closing: of each conversation, oldest first, its turns as (id, parent, prompt, answer, finished)."""
        self.recorder.close()
        history = History(self.path)
        found = [history.get(info.id) for info in reversed(history.list())]
        history.close()
        return [[(t.id, t.parent, t.prompt, t.answer, t.made_by is not None) for t in c.turns] for c in found]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "h.sqlite3")


def test_questions_follow_one_another(kept: Kept) -> None:
    before = None
    for number in ("one", "two"):
        before = kept.recorder.ask(number, "base", before)
        before.finish(number.upper(), MADE_BY)
    kept.recorder.start_over()
    kept.recorder.ask("three", "base", None).finish("THREE", MADE_BY)
    assert kept.conversations() == [
        [(1, None, "one", "ONE", True), (2, 1, "two", "TWO", True)],
        [(3, None, "three", "THREE", True)],
    ]


def test_columns_are_branches_and_one_of_them_goes_on(kept: Kept) -> None:
    first = kept.recorder.ask("one", "base", None)
    first.finish("ONE", MADE_BY)
    left, right = (kept.recorder.ask("two", name, first) for name in ("legal", "medical"))
    left.finish("L", MADE_BY)
    right.finish("R", MADE_BY)
    kept.recorder.go_on_from(left)
    kept.recorder.ask("three", "legal", left).finish("THREE", MADE_BY)
    [turns] = kept.conversations()
    assert [(turn[0], turn[1]) for turn in turns] == [(1, None), (2, 1), (3, 1), (4, 2)]


def test_a_kept_conversation_goes_on(kept: Kept) -> None:
    history = History(kept.path)
    conversation, turn = history.begin("one", "base")
    history.finish(turn, "ONE", MADE_BY)
    history.close()
    [first] = kept.recorder.resume(conversation, (turn,))
    kept.recorder.ask("two", "base", first).finish("TWO", MADE_BY)
    assert kept.conversations() == [[(1, None, "one", "ONE", True), (2, 1, "two", "TWO", True)]]


def test_what_streams_is_written_once_a_second(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    written: list[str] = []
    monkeypatch.setattr(History, "write", lambda self, turn, answer: written.append(answer))
    recording = kept.recorder.ask("one", "base", None)
    for i in range(25):
        recording.write("x" * i)
        clock[0] += 0.125
    kept.recorder.close()
    assert [len(answer) for answer in written] == [8, 16, 24]


def test_an_answer_that_ended_by_an_error(kept: Kept) -> None:
    first = kept.recorder.ask("one", "base", None)
    first.finish("ONE", MADE_BY)
    kept.recorder.ask("two", "base", first).break_off("half of it")
    kept.recorder.ask("three", "base", first).break_off("  ")
    kept.recorder.ask("four", "base", first).finish("FOUR", MADE_BY)
    [turns] = kept.conversations()
    assert [(turn[1], turn[2], turn[4]) for turn in turns] == [
        (None, "one", True),
        (1, "two", False),
        (1, "four", True),
    ]


def test_a_first_question_that_came_to_nothing_can_be_asked_again(kept: Kept) -> None:
    kept.recorder.ask("one", "base", None).break_off("")
    kept.recorder.ask("one", "base", None).finish("ONE", MADE_BY)
    assert [[turn[2:] for turn in turns] for turns in kept.conversations()] == [[("one", "ONE", True)]]
    assert kept.complaints == []


def test_a_conversations_own_settings_are_kept(kept: Kept) -> None:
    kept.recorder.configure("Be brief.", None)
    kept.recorder.base = OnBase("demo", MADE_BY.adapters)
    kept.recorder.ask("one", "base", None)
    kept.recorder.configure("Be long.", SamplingParams(temperature=0, stop=("x",)))
    kept.recorder.close()
    history = History(kept.path)
    [info] = history.list()
    stored = history.get(info.id)
    assert (stored.info.base, stored.turns[0].base) == ("demo", OnBase("demo", MADE_BY.adapters))
    assert (stored.system, stored.sampling) == ("Be long.", SamplingParams(temperature=0, stop=("x",)))
    history.close()


def test_a_disk_that_fails_is_said_once_for_a_conversation(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = Kept(tmp_path / "file" / "h.sqlite3")
    for number in ("one", "two"):
        kept.recorder.ask(number, "base", None).finish(number, MADE_BY)
    kept.recorder.close()
    assert len(kept.complaints) == 1
    kept.recorder.ask("after the end", "base", None).finish("", MADE_BY)
