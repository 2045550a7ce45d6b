"""What a person asked, in the transcript."""

from __future__ import annotations

from textual.widgets import Static


class Prompt(Static):
    """One message of the person, as plain text."""

    def __init__(self, text: str) -> None:
        super().__init__(text, markup=False)
        self.text = text
