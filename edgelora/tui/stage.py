"""What the conductor needs of whoever shows the chat; the app in a terminal, a list in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.chat.tree import Exchange
    from edgelora.tui.picks import Pick
    from edgelora.types import Finished

Severity = Literal["information", "warning", "error"]


class AnswerView(Protocol):
    """One answer while it is made."""

    async def write(self, text: str) -> None:
        """More text."""

    async def finish(self, finished: Finished) -> None:
        """It is complete; this is what made it."""

    async def abandon(self) -> None:
        """It ended by an error and is no part of the conversation."""


class ColumnsView(Protocol):
    """Answers to one prompt beside each other, counted from 0."""

    def write(self, column: int, text: str) -> None:
        """More text."""

    def finish(self, column: int, finished: Finished) -> None:
        """A column is complete; this is what made it."""

    def fail(self, column: int, reason: str) -> None:
        """A column ended by an error, or was never asked."""

    def choose(self, column: int) -> None:
        """The conversation goes on from this one."""

    def close(self) -> None:
        """The conversation went on: no other can be chosen any more."""


class Stage(Protocol):
    """Where the chat is shown."""

    def refresh_state(self) -> None:
        """Show the state anew."""

    def show_progress(self, label: str, done: int, total: int) -> None:
        """Something takes time; ``total`` 0 means that nobody knows how much."""

    def hide_progress(self) -> None:
        """It is over."""

    async def say(self, severity: Severity, text: str) -> None:
        """A remark in the transcript."""

    async def show_prompt(self, prompt: str) -> None:
        """What the person asked."""

    async def show_branch(self, head: Exchange | None) -> None:
        """Show the conversation as far as ``head``; None: nothing of it."""

    async def show_conversation(self) -> None:
        """Show another conversation instead of what is there."""

    async def begin_answer(self, exchange: Exchange) -> AnswerView:
        """The answer to the last prompt begins."""

    def give_back(self, prompt: str) -> None:
        """Put a prompt that was not answered where it can be sent again."""

    async def begin_columns(self, columns: Sequence[Pick], chosen: int) -> ColumnsView:
        """Answers begin beside each other, one under each pick."""
