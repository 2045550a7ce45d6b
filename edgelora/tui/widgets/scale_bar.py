"""The scale of the highlighted adapter: shown, and set with the mouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from edgelora.adapters.selection import format_scale
from edgelora.tui.picks import MAX_SCALE, SCALE_STEP
from edgelora.tui.theme import bar

if TYPE_CHECKING:
    from textual import events

CELLS = round(MAX_SCALE / SCALE_STEP)


class ScaleBar(Static):
    """One cell is a step of 0.1. A click or a drag sets the scale, the wheel moves it by a step."""

    @dataclass
    class Moved(Message):
        """The scale should be moved by this many steps."""

        steps: int

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._scale = 1.0
        self._dragging = False

    def show_scale(self, scale: float | None) -> None:
        """Nothing is shown for what has no scale."""
        self.visible = scale is not None
        if scale is None:
            return
        self._scale = scale
        filled = min(CELLS, max(0, round(scale / SCALE_STEP)))
        without = "  without it" if scale == 0 else ""
        self.update(Content.assemble(*bar(filled, CELLS), f" ×{format_scale(scale)}{without}"))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Set it, and follow the mouse until the button is let go."""
        event.stop()
        self._dragging = True
        self.capture_mouse()
        self._move_to(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Follow it."""
        if self._dragging:
            self._move_to(event.x)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """It was let go."""
        event.stop()
        self._dragging = False
        self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """More."""
        event.stop()
        self.post_message(self.Moved(1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Less."""
        event.stop()
        self.post_message(self.Moved(-1))

    def _move_to(self, x: int) -> None:
        wanted = min(max(x, 0), CELLS) * SCALE_STEP
        steps = round((wanted - self._scale) / SCALE_STEP)
        if steps:
            self.post_message(self.Moved(steps))
