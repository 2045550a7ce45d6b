"""The panels beside the conversation, or over it where there is no room for both."""

from __future__ import annotations

from textual.containers import Vertical


class Side(Vertical):
    """Holds panels that have the class ``-open`` while a person has opened them."""

    def show_open(self) -> None:
        """Note whether one is open: where there is no room beside the conversation, that decides what is shown."""
        self.set_class(any(panel.has_class("-open") for panel in self.children), "-open")
