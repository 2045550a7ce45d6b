"""Where the picker's filter is typed."""

from __future__ import annotations

from textual.widgets import Input


class FilterInput(Input):
    """Takes what occurs in adapter names and leaves other keys to the picker: names hold no space and no plus."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Minus occurs in names, but not at their beginning."""
        if key in ("space", "plus") or (key == "minus" and not self.value):
            return False
        return super().check_consume_key(key, character)

    def action_copy(self) -> None:
        """Copy what is selected; without a selection Ctrl+C says how to quit."""
        if self.selected_text:
            super().action_copy()
        else:
            self.app.action_help_quit()
