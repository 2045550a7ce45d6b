"""One line that says what is going on, and how far it is."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from edgelora.tui.theme import bar

BAR_CELLS = 20


class ProgressLine(Static):
    """Takes no room while nothing goes on."""

    def show_progress(self, label: str, done: int, total: int) -> None:
        """``total`` 0 means unknown."""
        self.display = True
        if total <= 0:
            self.update(Content(f"{label} …"))
            return
        filled = BAR_CELLS * min(done, total) // total
        self.update(Content.assemble(*bar(filled, BAR_CELLS), f" {100 * min(done, total) // total:3} %  ", label))

    def hide(self) -> None:
        """Nothing goes on any more. Costs nothing where nothing is shown; with every token this is called."""
        if self.display:
            self.display = False
            self.update("")
