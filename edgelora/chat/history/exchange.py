"""A conversation as a file that people read (Markdown) or programs do (JSON), and back from JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Literal

from edgelora.chat.history.records import ConversationInfo, StoredConversation, StoredTurn, title_of
from edgelora.errors import HistoryError
from edgelora.types import SamplingParams  # pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import TypeAdapter

    from edgelora.types import AttestedAdapter


@dataclass(frozen=True, slots=True)
class _Document:
    """The JSON form."""

    format: Literal["edgelora-conversation"]
    version: Literal[1]
    title: str
    base: str
    created: float
    updated: float
    system: str
    sampling: SamplingParams | None
    head: int | None
    turns: tuple[StoredTurn, ...]


@cache
def _form() -> TypeAdapter[_Document]:
    """Made when it is first needed: the chat's first frame does not wait for pydantic."""
    from pydantic import TypeAdapter

    return TypeAdapter(_Document)


def to_json(stored: StoredConversation) -> str:
    """All of a conversation, every branch."""
    info = stored.info
    document = _Document(
        "edgelora-conversation",
        1,
        info.title,
        info.base,
        info.created,
        info.updated,
        stored.system,
        stored.sampling,
        stored.head,
        stored.turns,
    )
    return _form().dump_json(document, indent=2).decode() + "\n"


def from_json(text: str, origin: str) -> StoredConversation:
    """The conversation in ``text``, which :func:`to_json` made; ``origin`` is the file's name, for errors.

    Raises HistoryError where it is something else or does not hang together.
    """
    from pydantic import ValidationError

    try:
        read = _form().validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise HistoryError(
            f"{origin} is no conversation that edgelora exported: {f'{where}: ' if where else ''}{first['msg']}",
            "Export it again, as JSON.",
        ) from error
    _require_tree(read.turns, read.head, origin)
    info = ConversationInfo(0, read.title, read.base, read.created, read.updated, len(read.turns))
    return StoredConversation(info, read.system, read.head, read.turns, read.sampling)


def to_markdown(stored: StoredConversation) -> str:
    """The branch in use, with what made each answer."""
    began = datetime.fromtimestamp(stored.info.created, UTC).strftime("%Y-%m-%d")
    parts = [f"# {stored.info.title}", f"{began}, {stored.info.base}".rstrip(", ")]
    if stored.system:
        parts += ["## System prompt", stored.system]
    for turn in stored.branch(stored.head):
        parts += ["## You", turn.prompt, f"## {turn.selection}", turn.answer, f"*{_caption(turn)}*"]
    return "\n\n".join(part for part in parts if part) + "\n"


def file_name(stored: StoredConversation, suffix: str) -> str:
    """A name for its file that any file system takes."""
    words = "".join(char if char.isalnum() else " " for char in title_of(stored.info.title)).split()
    return ("-".join(words).lower()[:48].strip("-") or f"conversation-{stored.info.id}") + suffix


def _require_tree(turns: tuple[StoredTurn, ...], head: int | None, origin: str) -> None:
    known: set[int | None] = {None}
    for turn in turns:
        if turn.parent not in known or turn.id in known:
            raise HistoryError(f"{origin}: turn {turn.id} goes on from {turn.parent}, which is not before it")
        known.add(turn.id)
    if head not in known:
        raise HistoryError(f"{origin}: it goes on from turn {head}, which it does not hold")


def _caption(turn: StoredTurn) -> str:
    made_by = turn.made_by
    if made_by is None:
        return "broken off"
    baked = f" with {_named(turn.base.baked)} baked in" if turn.base.baked else ""
    speed = f", {made_by.completion_tokens} tokens, {made_by.tok_per_s:.0f} tok/s" if made_by.completion_tokens else ""
    return f"made by {_named(made_by.adapters) or 'the base'}{baked}{speed}"


def _named(adapters: Iterable[AttestedAdapter]) -> str:
    return " + ".join(f"{adapter.name} {adapter.scale:g} ({adapter.sha256[:12]})" for adapter in adapters)
