"""The history keeps what it was given, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelora.chat.history.exchange import file_name, from_json, to_json, to_markdown
from edgelora.chat.history.records import OnBase, title_of
from edgelora.chat.history.store import History
from edgelora.errors import HistoryError
from edgelora.types import AttestedAdapter, Finished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MADE_BY = Finished("r", "stop", (AttestedAdapter("legal", "ab" * 32, 0.7),), 10, 2, 5, 12.5, 80.0)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "folder" / "history.sqlite3")
    yield history
    history.close()


def _answered(history: History, conversation: int, parent: int | None, prompt: str, answer: str) -> int:
    turn = history.ask(conversation, parent, prompt, "legal:0.7")
    history.finish(turn, answer, MADE_BY)
    return turn


def test_what_was_written_is_there_after_opening_again(history: History) -> None:
    conversation, turn = history.begin(
        "What is a lien?\nSay it shortly.", "legal:0.7", system="Be brief.", base=OnBase("demo")
    )
    history.finish(turn, "A right.", MADE_BY)
    history.close()
    again = History(history.path)
    [info] = again.list()
    stored = again.get(conversation)
    assert (info.title, info.base, info.n_turns) == ("What is a lien?", "demo", 1)
    assert stored.system == "Be brief."
    assert [(t.prompt, t.answer, t.made_by) for t in stored.branch(stored.head)] == [
        ("What is a lien?\nSay it shortly.", "A right.", MADE_BY)
    ]
    again.close()


def test_branches_are_kept(history: History) -> None:
    conversation, first = history.begin("one", "base")
    history.finish(first, "1", MADE_BY)
    second = _answered(history, conversation, first, "two", "2")
    other = _answered(history, conversation, first, "two", "zwei")
    stored = history.get(conversation)
    assert stored.head == other
    assert [turn.id for turn in stored.branch(second)] == [first, second]
    third = _answered(history, conversation, second, "three", "3")
    assert history.get(conversation).head == third
    history.choose(conversation, other)
    assert history.get(conversation).head == other


def test_a_turn_that_came_to_nothing_leaves_no_trace(history: History) -> None:
    conversation, first = history.begin("one", "base")
    history.finish(first, "1", MADE_BY)
    history.forget_turn(history.ask(conversation, first, "two", "base"))
    assert [turn.id for turn in history.get(conversation).turns] == [first]
    _, alone = history.begin("nothing", "base")
    history.forget_turn(alone)
    assert [info.id for info in history.list()] == [conversation]
    history.forget_turn(alone)


def test_search_finds_titles_prompts_and_answers_whatever_the_case(history: History) -> None:
    first, turn = history.begin("Über 100 % sicher?", "base")
    history.finish(turn, "Vielleicht_nicht", MADE_BY)
    second, _ = history.begin("Something else", "base")
    assert [info.id for info in history.list("über")] == [first]
    assert [info.id for info in history.list("100 %")] == [first]
    assert [info.id for info in history.list("T_N")] == [first]
    assert [info.id for info in history.list("ELSE")] == [second]
    assert history.list("sicherheit") == ()
    assert [info.id for info in history.list()] == [second, first]


def test_renaming_and_deleting(history: History) -> None:
    conversation, _ = history.begin("one", "base")
    other, _ = history.begin("two", "base")
    history.rename(conversation, "  A better\n name ")
    assert history.get(conversation).info.title == "A better"
    history.delete(conversation)
    assert [info.id for info in history.list()] == [other]
    with pytest.raises(HistoryError, match="deleted"):
        history.get(conversation)
    with pytest.raises(HistoryError, match="deleted"):
        history.ask(conversation, None, "more", "base")


def test_two_programs_write_at_once(history: History) -> None:
    other = History(history.path)
    for i in range(20):
        (history if i % 2 else other).begin(f"question {i}", "base")
    assert len(history.list()) == len(other.list()) == 20
    other.close()


_WRITER = """
import sys
from pathlib import Path
from edgelora.chat.history.store import History
history = History(Path(sys.argv[1]))
_, turn = history.begin("a question", "legal")
for i in range(10**9):
    history.write(turn, "word " * (i + 1))
    print(i + 1, flush=True)
"""


def test_a_killed_program_loses_nothing_that_was_written(tmp_path: Path) -> None:
    for attempt in range(3):
        path = tmp_path / f"{attempt}.sqlite3"
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, env={**os.environ}
        )
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(7 * (attempt + 1))]
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        complete = [line for line in said if line.endswith("\n")]
        history = History(path)
        [info] = history.list()
        [turn] = history.get(info.id).turns
        assert turn.answer.count("word") >= int(complete[-1])
        assert turn.made_by is None
        history.close()


def test_a_file_that_is_no_history_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    path.write_bytes(b"these are not the bytes you are looking for" * 50)
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="Move it away"):
        History(path)
    assert path.read_bytes() == before


def test_a_newer_file_is_refused_and_untouched(history: History) -> None:
    with sqlite3.connect(history.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryError, match="newer edgelora"):
        History(history.path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match="EDGELORA_HISTORY"):
        History(tmp_path / "file" / "h.sqlite3")


def test_a_full_disk_is_said_and_loses_nothing(history: History) -> None:
    _, turn = history.begin("a question", "base")
    [pages] = history._connection.execute("PRAGMA page_count").fetchone()
    history._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HistoryError, match="Free some space"):
        history.write(turn, "x" * 100_000)
    history.write(turn, "short")
    [info] = history.list()
    assert history.get(info.id).turns[0].answer == "short"


TEXTS = st.text(max_size=20)


SLOW_OR_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=50, suppress_health_check=SLOW_OR_SHARED)
@given(parents=st.lists(st.integers(0, 100), min_size=1, max_size=8), text=TEXTS)
def test_a_conversation_survives_export_and_import(history: History, parents: list[int], text: str) -> None:
    conversation, turn = history.begin("one", "base", system=text)
    history.finish(turn, text, MADE_BY)
    turns = [turn]
    for parent in parents:
        turns.append(_answered(history, conversation, turns[parent % len(turns)], text, text))
    stored = history.get(conversation)
    exported = to_json(stored)
    copy = history.get(history.add(from_json(exported, "a file")))
    numbers = {None: None} | {old.id: new.id for old, new in zip(stored.turns, copy.turns, strict=True)}
    moved = tuple(replace(old, id=numbers[old.id] or 0, parent=numbers[old.parent]) for old in stored.turns)
    assert copy.turns == moved
    assert copy.head == numbers[stored.head]
    assert (copy.system, copy.info.title) == (stored.system, stored.info.title)
    assert to_markdown(copy) == to_markdown(stored)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"turns": [{"id": 1}]},
        {"head": 77},
        {"title": None},
        {"turns": 5},
    ],
)
def test_another_file_is_no_conversation(history: History, change: dict[str, object]) -> None:
    conversation, turn = history.begin("one", "base")
    history.finish(turn, "1", MADE_BY)
    document = json.loads(to_json(history.get(conversation))) | change
    with pytest.raises(HistoryError, match=r"^a file"):
        from_json(json.dumps(document), "a file")


def test_a_turn_that_goes_on_from_nothing_is_refused(history: History) -> None:
    conversation, turn = history.begin("one", "base")
    history.finish(turn, "1", MADE_BY)
    document = json.loads(to_json(history.get(conversation)))
    document["turns"][0]["parent"] = 9
    with pytest.raises(HistoryError, match="goes on from 9"):
        from_json(json.dumps(document), "a file")
    with pytest.raises(HistoryError, match="no conversation"):
        from_json("{not json", "a file")


def test_markdown_says_what_made_an_answer(history: History) -> None:
    conversation, turn = history.begin("What is a lien?", "legal:0.7", base=OnBase("demo"))
    history.finish(turn, "A right.", MADE_BY)
    text = to_markdown(history.get(conversation))
    assert "# What is a lien?" in text
    assert "## legal:0.7\n\nA right.\n\n*made by legal 0.7 (abababababab), 5 tokens, 80 tok/s*" in text
    assert file_name(history.get(conversation), ".md") == "what-is-a-lien.md"


def test_titles_are_one_short_line() -> None:
    assert title_of("\n\n  a   b \n c") == "a b"
    assert len(title_of("word " * 100)) == 60
    assert title_of("") == ""
