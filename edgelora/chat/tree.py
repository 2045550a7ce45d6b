"""A conversation with its branches: every question can be asked again, and no answer is lost by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgelora.chat.conversation import Turn
from edgelora.chat.history.records import OnBase

if TYPE_CHECKING:
    from edgelora.chat.history.recorder import Recording
    from edgelora.types import Finished


@dataclass(eq=False, slots=True)
class Exchange:
    """A question and its answer. ``parent`` is the one it goes on from; None begins the conversation.

    ``selection`` is the text form of what was asked for, ``base`` what it was asked on. ``made_by`` is None while the
    answer is made, and where it never came to its end. ``recording`` is its place in the history, if it is kept.
    """

    prompt: str
    selection: str
    parent: Exchange | None = None
    base: OnBase = field(default_factory=OnBase)
    answer: str = ""
    made_by: Finished | None = None
    recording: Recording | None = None

    def branch(self) -> tuple[Exchange, ...]:
        """The exchanges that lead here, oldest first, this one the last."""
        found: list[Exchange] = []
        at: Exchange | None = self
        while at is not None:
            found.append(at)
            at = at.parent
        return tuple(reversed(found))


class Tree:
    """The exchanges of one conversation, oldest first. ``head`` is what the next question goes on from."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.head: Exchange | None = None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The branch in use, as templates render it."""
        branch = self.head.branch() if self.head else ()
        return tuple(Turn(one.prompt, one.answer, one.made_by) for one in branch if one.made_by)

    def alternatives(self, exchange: Exchange) -> list[Exchange]:
        """All that go on from where ``exchange`` does, itself among them."""
        return [other for other in self.exchanges if other.parent is exchange.parent]

    def end_of(self, exchange: Exchange) -> Exchange:
        """Where the newest of the branches through ``exchange`` ends; itself where nothing complete follows."""
        newest, reached = exchange, {exchange}
        for other in self.exchanges:  # a parent comes before its children
            if other.parent in reached and other.made_by:
                reached.add(other)
                newest = other
        return newest

    def shown(self) -> tuple[Exchange, ...]:
        """The branch in use, and after it an answer that never came to its end, if that was the last thing asked."""
        branch = self.head.branch() if self.head else ()
        last = self.exchanges[-1] if self.exchanges else None
        return (*branch, last) if last and last.parent is self.head and last.made_by is None else branch
