"""What a person asked, in the transcript."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from edgelora.tui.theme import QUIET


class Prompt(Static):
    """One message of the person, as plain text."""

    def __init__(self, text: str) -> None:
        super().__init__(text, markup=False)
        self.text = text

    def fold(self, folded: bool) -> None:
        """Show the first line only, or all of it again."""
        first, *more = self.text.split("\n")
        if folded and more:
            self.update(Content.assemble(first, "\n", (f"… {len(more):,} more lines", QUIET)))
        else:
            self.update(self.text)
