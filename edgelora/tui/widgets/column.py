"""One column of a comparison: its head, and below it what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from edgelora.tui.theme import FAINT, QUIET
from edgelora.tui.widgets.answer import answer_caption
from edgelora.tui.widgets.streamed_markdown import StreamedMarkdown

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.geometry import Size

    from edgelora.types import Finished

BETWEEN = " · "
"""The parts of a caption."""


class Head(Static):
    """Number and name of a column, and whether the conversation goes on from it. A click chooses it."""

    @dataclass
    class Clicked(Message):
        """This head, or the column below it, was clicked on."""

        number: int

    def __init__(self, number: int, label: str, tint: int | None) -> None:
        super().__init__(classes=_tinted(tint))
        self._number = number
        self._label = label
        self._shown: tuple[bool, str] | None = None

    def show(self, *, chosen: bool, state: str) -> None:
        """``state`` is ``…`` while the column answers. What is shown already costs nothing."""
        if self._shown == (chosen, state):
            return
        self._shown = chosen, state
        mark = ("● ", "$primary") if chosen else ("○ ", FAINT)
        name = (self._label, "bold" if chosen else "")
        self.update(Content.assemble(mark, (f"{self._number} ", QUIET), name, (f" {state}" if state else "", QUIET)))
        self.set_class(chosen, "-chosen")

    def on_click(self) -> None:
        """Choose."""
        self.post_message(self.Clicked(self._number))


class Parts(Static):
    """A caption whose lines end between its parts, so that a number stays with its unit."""

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """In lines, for a width in cells."""
        return self._in(width).get_height({}, max(1, width))  # a terminal may have no room at all

    def render(self) -> Content:
        """In as few lines as the width allows."""
        return self._in(self.content_size.width)

    def _in(self, width: int) -> Content:
        text = ""
        for part in str(self.content).split(BETWEEN):
            line = text.rpartition("\n")[2]
            fits = cell_len(f"{line}{BETWEEN}{part}") <= width
            text += f"{BETWEEN if fits else chr(10)}{part}" if text else part
        return Content(text)


class Column(Vertical):
    """An answer that is painted when it is told to."""

    def __init__(self, number: int, label: str, tint: int | None) -> None:
        super().__init__(classes=_tinted(tint))
        self._number = number
        self._pending: list[str] = []
        self._end: str | None = None  # the caption to come, once nothing else does
        self.failed = False
        self.is_painted = False  # to its end
        self.body = StreamedMarkdown()
        self._caption = Parts(f"● {label} …", markup=False, classes="caption")

    def compose(self) -> ComposeResult:
        """Body over caption."""
        yield self.body
        yield self._caption

    @property
    def caption(self) -> str:
        """The line under the answer."""
        return str(self._caption.content)

    @property
    def text(self) -> str:
        """What it said."""
        return self.body.source + "".join(self._pending)

    @property
    def has_ended(self) -> bool:
        """Whether no more text comes."""
        return self._end is not None

    def write(self, text: str) -> None:
        """More text, for the next :meth:`paint`."""
        self._pending.append(text)

    def finish(self, finished: Finished) -> None:
        """No more text comes; the caption will say what made it."""
        self._end = answer_caption(finished)

    def fail(self, reason: str) -> None:
        """It ended by an error, or was never asked."""
        self._end, self.failed = reason, True

    def paint(self) -> bool:
        """Show what came since the last time. Gives whether the text has become too high for what is laid out."""
        is_too_high = bool(self._pending) and self.body.append("".join(self._pending))
        self._pending.clear()
        if self._end is not None and not self.is_painted:
            self.is_painted = True
            self.body.end()
            self._caption.update(self._end)
            self._caption.set_class(self.failed, "-error")
        return is_too_high

    def on_click(self) -> None:
        """Choose, unless text was being selected."""
        if not self.screen.get_selected_text():
            self.post_message(Head.Clicked(self._number))


def _tinted(tint: int | None) -> str:
    return "" if tint is None else f"-tint-{tint}"
