"""Where a message is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from edgelora.tui.comparing import columns_label
from edgelora.tui.keys import untold

if TYPE_CHECKING:
    from textual import events

    from edgelora.tui.state import ChatState


class Composer(TextArea, inherit_bindings=False):
    """A text area in which Enter sends. While it is empty, digits below ``examples`` choose an example."""

    HELP = """\
Enter sends, Ctrl+J begins a new line. In an empty line Up leads to the messages, and below columns digits choose one
and Ctrl+D shows the differences.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "scroll_transcript(-1)", "Scroll up", show=False),
        Binding("pagedown", "scroll_transcript(1)", "Scroll down", show=False),
        *untold(TextArea.BINDINGS),
    ]

    @dataclass
    class Submitted(Message):
        """Enter was pressed on some text."""

        text: str

    @dataclass
    class ExampleAsked(Message):
        """The number of an example was pressed, from 1."""

        number: int

    class Left(Message):
        """Up was pressed where there is nothing above."""

    class DifferencesAsked(Message):
        """Ctrl+D was pressed where there is nothing to delete."""

    @dataclass
    class ScrollAsked(Message):
        """The transcript should move by this many pages."""

        pages: int

    def __init__(self, *, id: str) -> None:
        super().__init__(
            id=id, soft_wrap=True, show_line_numbers=False, highlight_cursor_line=False, tab_behavior="focus"
        )
        self.placeholder = "Ask something. Enter sends, Ctrl+J begins a new line."
        self.examples = 0
        self._expects = False  # an example, which is on its way
        self._sends_it = False

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self._sends_it = self._expects and not self.text
            self._submit()
        elif event.key in ("shift+enter", "ctrl+j"):  # not a binding: those run after letters typed next
            event.stop()
            event.prevent_default()
            self.insert("\n")
        elif not self.text and event.key == "up":
            event.stop()
            event.prevent_default()
            self.post_message(self.Left())
        elif not self.text and event.key == "ctrl+d":
            event.stop()
            event.prevent_default()
            self.post_message(self.DifferencesAsked())
        elif not self.text and event.key.isdecimal() and 0 < int(event.key) <= self.examples:
            event.stop()
            event.prevent_default()
            self.post_message(self.ExampleAsked(int(event.key)))
            self._expects = True
        else:
            self._expects = self._sends_it = False
            await super()._on_key(event)

    def replace_text(self, text: str) -> None:
        """Put ``text`` here, the cursor at its end. An example is sent where Enter was pressed before it came."""
        self.load_text(text)
        self.move_cursor(self.document.end)
        if self._sends_it:
            self._submit()
        self._expects = self._sends_it = False

    def _submit(self) -> None:
        if self.text.strip():
            self.post_message(self.Submitted(self.text.strip()))
            self.clear()  # at once: what is typed next belongs to the next message

    def show_state(self, state: ChatState) -> None:
        """Say what the next message is answered with, and how full the context is."""
        if state.columns:
            self.border_title = columns_label(state.columns)
        else:
            label = state.label(state.active)
            label = f"edited, for {label}" if state.editing else label
            later = state.phase == "answering" and state.active != state.settled
            self.border_title = f"next: {label}" if later else label
        self.cursor_blink = state.phase != "answering"  # it would cost what a hundredth of a core can compute
        used = f"{state.context_used:,} of {state.base.ctx:,} tokens" if state.base and state.context_used else ""
        self.border_subtitle = used

    def action_scroll_transcript(self, pages: int) -> None:
        """Move the transcript, which never has the focus."""
        self.post_message(self.ScrollAsked(pages))

    def action_copy(self) -> None:
        """Copy what is selected; without a selection Ctrl+C says how to quit."""
        if self.selected_text:
            super().action_copy()
        else:
            self.app.action_help_quit()
