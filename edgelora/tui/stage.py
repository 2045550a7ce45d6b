"""What the conductor needs of whoever shows the chat; the app in a terminal, a list in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
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

    async def begin_answer(self) -> AnswerView:
        """An answer begins."""

    def give_back(self, prompt: str) -> None:
        """Put a prompt that was not answered where it can be sent again."""
