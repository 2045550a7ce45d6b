"""The history of conversations: begun, gone on with, found, renamed, deleted."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

from edgelora.chat.history.database import explained, open_database, transaction
from edgelora.chat.history.records import ConversationInfo, OnBase, StoredConversation, StoredTurn, title_of
from edgelora.errors import HistoryError
from edgelora.types import Finished, SamplingParams

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pydantic import TypeAdapter

_INFO = """
SELECT c.id, c.title, c.base, c.created, c.updated, COUNT(t.id)
FROM conversations c LEFT JOIN turns t ON t.conversation = c.id
"""
_NEWEST_FIRST = "GROUP BY c.id ORDER BY c.updated DESC, c.id DESC"
_FOUND = r"""
WHERE folded(c.title) LIKE :text ESCAPE '\' OR c.id IN (
    SELECT conversation FROM turns
    WHERE folded(prompt) LIKE :text ESCAPE '\' OR folded(answer) LIKE :text ESCAPE '\')
"""


class History:
    """One file, safe for several processes. Every method is one transaction and raises HistoryError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_database(path)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._connection.close()

    # --- writing

    def begin(
        self,
        prompt: str,
        selection: str,
        *,
        system: str = "",
        sampling: SamplingParams | None = None,
        base: OnBase = OnBase(),  # noqa: B008 - a frozen value
    ) -> tuple[int, int]:
        """A new conversation with its first question. Returns the numbers of conversation and turn."""
        now = time.time()
        with self._transaction():
            conversation = self._insert(
                "INSERT INTO conversations (title, base, system, sampling, created, updated) VALUES (?, ?, ?, ?, ?, ?)",
                (title_of(prompt), base.name, system, _text(SamplingParams | None, sampling), now, now),
            )
            return conversation, self._add_turn(conversation, None, prompt, selection, now, base)

    def ask(
        self,
        conversation: int,
        parent: int | None,
        prompt: str,
        selection: str,
        base: OnBase = OnBase(),  # noqa: B008
    ) -> int:
        """One more question, which goes on from the turn ``parent``. Returns the number of its turn."""
        now = time.time()
        with self._transaction():
            self._require(conversation)
            turn = self._add_turn(conversation, parent, prompt, selection, now, base)
            self._touch(conversation, now)
        return turn

    def write(self, turn: int, answer: str) -> None:
        """What of an answer has come so far."""
        with self._transaction():
            self._execute("UPDATE turns SET answer = ? WHERE id = ?", (answer, turn))

    def finish(self, turn: int, answer: str, made_by: Finished) -> None:
        """The answer is complete, or was stopped; the conversation goes on from here."""
        with self._transaction():
            self._execute(
                "UPDATE turns SET answer = ?, made_by = ? WHERE id = ?", (answer, _text(Finished, made_by), turn)
            )
            self._execute(
                "UPDATE conversations SET head = ?1, updated = ?2 WHERE id = (SELECT conversation FROM turns"
                " WHERE id = ?1)",
                (turn, time.time()),
            )

    def forget_turn(self, turn: int) -> bool:
        """Take a turn away that came to nothing. Returns whether its conversation went with it, as it was the first."""
        with self._transaction():
            found = self._row("DELETE FROM turns WHERE id = ? RETURNING conversation", (turn,))
            gone = self._execute(
                "DELETE FROM conversations WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM turns WHERE conversation = ?1)",
                found or (None,),
            )
        return gone.rowcount > 0

    def choose(self, conversation: int, head: int | None) -> None:
        """Go on from the turn ``head``, another branch perhaps."""
        with self._transaction():
            self._execute("UPDATE conversations SET head = ? WHERE id = ?", (head, conversation))

    def configure(self, conversation: int, system: str, sampling: SamplingParams | None) -> None:
        """Keep another system prompt and other sampling for it; an empty one and None are the defaults."""
        with self._transaction():
            self._execute(
                "UPDATE conversations SET system = ?, sampling = ? WHERE id = ?",
                (system, _text(SamplingParams | None, sampling), conversation),
            )

    def rename(self, conversation: int, title: str) -> None:
        """Call it ``title``, in one line."""
        with self._transaction():
            self._execute("UPDATE conversations SET title = ? WHERE id = ?", (title_of(title), conversation))

    def delete(self, conversation: int) -> None:
        """Forget a conversation with all its turns."""
        with self._transaction():
            self._execute("DELETE FROM conversations WHERE id = ?", (conversation,))

    def add(self, stored: StoredConversation) -> int:
        """A copy of ``stored`` under new numbers, for instance one that was exported elsewhere. Returns its number."""
        info = stored.info
        with self._transaction():
            conversation = self._insert(
                "INSERT INTO conversations (title, base, system, sampling, created, updated) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    info.title,
                    info.base,
                    stored.system,
                    _text(SamplingParams | None, stored.sampling),
                    info.created,
                    info.updated,
                ),
            )
            numbers: dict[int | None, int | None] = {None: None}
            for turn in stored.turns:
                numbers[turn.id] = self._insert(
                    "INSERT INTO turns (conversation, parent, prompt, answer, selection, asked, base, made_by)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        conversation,
                        numbers[turn.parent],
                        turn.prompt,
                        turn.answer,
                        turn.selection,
                        turn.asked,
                        _text(OnBase, turn.base),
                        turn.made_by and _text(Finished, turn.made_by),
                    ),
                )
            self._execute("UPDATE conversations SET head = ? WHERE id = ?", (numbers[stored.head], conversation))
        return conversation

    # --- reading

    def list(self, text: str = "") -> tuple[ConversationInfo, ...]:
        """Conversations whose title or any turn contains ``text``, whatever the case; newest first."""
        with explained(self.path):
            if not text:
                rows = self._connection.execute(f"{_INFO} {_NEWEST_FIRST}").fetchall()
            else:
                rows = self._connection.execute(
                    f"{_INFO} {_FOUND} {_NEWEST_FIRST}", {"text": _pattern(text)}
                ).fetchall()
        return tuple(ConversationInfo(*row) for row in rows)

    def get(self, conversation: int) -> StoredConversation:
        """A conversation with all its turns."""
        with explained(self.path):
            info = self._row(f"{_INFO} WHERE c.id = ? GROUP BY c.id", (conversation,))
            own = self._row("SELECT system, sampling, head FROM conversations WHERE id = ?", (conversation,))
            if info is None or own is None:
                raise _deleted()
            rows = self._connection.execute(
                "SELECT id, parent, prompt, answer, selection, asked, base, made_by FROM turns WHERE conversation = ?"
                " ORDER BY id",
                (conversation,),
            ).fetchall()
        turns = tuple(map(_turn, rows))
        system, sampling, head = own
        chosen = _form(SamplingParams | None).validate_json(sampling) if sampling else None
        return StoredConversation(ConversationInfo(*info), system, head, turns, chosen)

    # --- how

    def _transaction(self) -> AbstractContextManager[None]:
        return transaction(self.path, self._connection)

    def _add_turn(
        self, conversation: int, parent: int | None, prompt: str, selection: str, now: float, base: OnBase
    ) -> int:
        return self._insert(
            "INSERT INTO turns (conversation, parent, prompt, answer, selection, asked, base)"
            " VALUES (?, ?, ?, '', ?, ?, ?)",
            (conversation, parent, prompt, selection, now, _text(OnBase, base)),
        )

    def _touch(self, conversation: int, now: float) -> None:
        self._execute("UPDATE conversations SET updated = ? WHERE id = ?", (now, conversation))

    def _require(self, conversation: int) -> None:
        if not self._row("SELECT 1 FROM conversations WHERE id = ?", (conversation,)):
            raise _deleted()

    def _insert(self, statement: str, values: Sequence[object]) -> int:
        return int(self._execute(statement, values).lastrowid or 0)

    def _row(self, statement: str, values: Sequence[object]) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._execute(statement, values).fetchone()
        return row

    def _execute(self, statement: str, values: Sequence[object]) -> sqlite3.Cursor:
        return self._connection.execute(statement, tuple(values))


def _deleted() -> HistoryError:
    return HistoryError("this conversation was deleted meanwhile", "Begin a new one.")


def _pattern(text: str) -> str:
    escaped = "".join(f"\\{char}" if char in r"\%_" else char for char in text.casefold())
    return f"%{escaped}%"


@cache
def _form(kind: Any) -> TypeAdapter[Any]:
    """The JSON form of ``kind``, made when it is first needed: the chat's first frame does not wait for pydantic."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _text(kind: Any, value: object) -> str:
    return _form(kind).dump_json(value).decode()


def _turn(row: tuple[Any, ...]) -> StoredTurn:
    number, parent, prompt, answer, selection, asked, base, made_by = row
    finished = None if made_by is None else _form(Finished).validate_json(made_by)
    return StoredTurn(number, parent, prompt, answer, selection, asked, finished, _form(OnBase).validate_json(base))
