"""Screens over the chat that are closed once, however fast keys come."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Result = TypeVar("Result")


class ClosingOnce(ModalScreen[Result]):
    """Gives its result once: a second Enter may already wait for its widgets, and would close the chat beneath."""

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Give ``result`` to who opened the screen; nothing where it is closed already."""
        if not self.is_active:
            return AwaitComplete()
        return super().dismiss(result)
