"""The conversation, from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical, VerticalScroll

from edgelora.tui.widgets.answer import Answer
from edgelora.tui.widgets.prompt import Prompt
from edgelora.tui.widgets.remark import Remark

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.widget import Widget

    from edgelora.tui.stage import Severity
    from edgelora.types import AttestedAdapter


class Transcript(VerticalScroll, can_focus=False):
    """Prompts, answers and remarks. Stays at the end while text comes, unless somebody scrolled up."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._turns = Vertical(id="turns")  # at least as high as the transcript, or anchoring would sink it

    def compose(self) -> ComposeResult:
        """One column."""
        yield self._turns

    def on_mount(self) -> None:
        """Follow the end."""
        self.anchor()

    async def add(self, widget: Widget) -> None:
        """Anything, at the end."""
        await self._turns.mount(widget)

    async def add_prompt(self, text: str) -> None:
        """What a person asked; from here on the end is followed again."""
        await self.add(Prompt(text))
        self.anchor()

    async def add_answer(self, label: str, tint: int | None, baked: tuple[AttestedAdapter, ...]) -> Answer:
        """An answer that begins under ``label``, on a base with ``baked`` in its weights."""
        answer = Answer(label, tint, baked)
        await self.add(answer)
        return answer

    async def add_remark(self, severity: Severity, text: str) -> None:
        """A remark; before an answer that has no text yet, since it is about what led to it."""
        await self._turns.mount(Remark(severity, text), before=self._waiting_answer())

    async def clear(self) -> None:
        """Take everything away."""
        await self._turns.remove_children()

    def _waiting_answer(self) -> Widget | None:
        last = self._turns.children[-1] if self._turns.children else None
        return last if isinstance(last, Answer) and not last.text else None
