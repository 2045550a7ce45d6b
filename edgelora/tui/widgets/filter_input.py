"""Where the picker's filter is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.widgets import Input

from edgelora.tui.keys import untold

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual import events
    from textual.binding import BindingType


class FilterInput(Input, inherit_bindings=False):
    """Takes what occurs in adapter names and hands other keys to the picker.

    It calls the picker instead of leaving them to bindings, which would run before letters typed just before are
    taken in: a name and Enter, typed fast, must pick that name.
    """

    HELP = "Type a part of a name. Enter uses the adapter, or the mixture; until then nothing changes."
    BINDING_GROUP_TITLE = ""  # as a heading in the help
    BINDINGS: ClassVar[list[BindingType]] = untold(Input.BINDINGS)

    def __init__(self, take_key: Callable[[str], bool], *, id: str) -> None:
        """``take_key`` gives whether the picker used the key."""
        super().__init__(placeholder="Type to filter", id=id, compact=True)
        self._take_key = take_key

    async def _on_key(self, event: events.Key) -> None:
        if self._take(event):
            event.stop()
            event.prevent_default()
        else:
            await super()._on_key(event)

    def _take(self, event: events.Key) -> bool:
        if event.key == "backspace":
            self.action_delete_left()
            return True
        return not self.check_consume_key(event.key, event.character) and self._take_key(event.key)

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Whether the key is text: names hold none of these, and minus not at their beginning."""
        if key in ("space", "plus", "asterisk", "question_mark") or (key == "minus" and not self.value):
            return False
        return super().check_consume_key(key, character)

    def action_copy(self) -> None:
        """Copy what is selected; without a selection Ctrl+C says how to quit."""
        if self.selected_text:
            super().action_copy()
        else:
            self.app.action_help_quit()
