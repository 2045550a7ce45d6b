"""What the history holds: conversations, and in each a tree of turns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from edgelora.types import AttestedAdapter, Finished, SamplingParams  # pydantic reads them

TITLE_LENGTH = 60


@dataclass(frozen=True, slots=True)
class OnBase:
    """What an answer was asked for on: the base's name, and the adapters in its weights."""

    name: str = ""
    baked: tuple[AttestedAdapter, ...] = ()


@dataclass(frozen=True, slots=True)
class ConversationInfo:
    """A conversation as a list shows it. Times are seconds since 1970."""

    id: int
    title: str
    base: str
    created: float
    updated: float
    n_turns: int


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A question and its answer. ``parent`` is the turn it goes on from; None begins the conversation.

    ``selection`` is the text form of what was asked for on ``base``. ``made_by`` is None where the answer never came
    to its end: the program was killed meanwhile, or the engine died.
    """

    id: int
    parent: int | None
    prompt: str
    answer: str
    selection: str
    asked: float
    made_by: Finished | None
    base: OnBase = OnBase()


@dataclass(frozen=True)
class StoredConversation:
    """A conversation with all its turns, oldest first. ``head`` is the last turn of the branch in use.

    ``system`` and ``sampling`` are its own, where somebody chose them.
    """

    info: ConversationInfo
    system: str
    head: int | None
    turns: tuple[StoredTurn, ...]
    sampling: SamplingParams | None = None

    @cached_property
    def by_id(self) -> dict[int, StoredTurn]:
        """Its turns by number."""
        return {turn.id: turn for turn in self.turns}

    def branch(self, head: int | None) -> tuple[StoredTurn, ...]:
        """The turns that lead to ``head``, from the first on."""
        turns: list[StoredTurn] = []
        while head is not None:
            turn = self.by_id[head]
            turns.append(turn)
            head = turn.parent
        return tuple(reversed(turns))


def title_of(prompt: str) -> str:
    """What a conversation is called until somebody renames it: the first line of its first question."""
    line = next((line.strip() for line in prompt.splitlines() if line.strip()), "")
    line = " ".join(line.split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"
