"""A remark of the program in the transcript."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Static

if TYPE_CHECKING:
    from edgelora.tui.stage import Severity


class Remark(Static):
    """A notice, a warning or an error, as plain text. Errors say what to do."""

    def __init__(self, severity: Severity, text: str) -> None:
        super().__init__(text, markup=False, classes=f"-{severity}")
        self.text = text
