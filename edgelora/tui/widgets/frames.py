"""When what has come is painted: at once after a rest, not too often, and never for long."""

from __future__ import annotations

from asyncio import get_running_loop
from time import thread_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.widget import Widget

FRAME, LONGEST = 1 / 20, 1 / 4
"""Seconds between two pictures, at least and at most."""
WEIGHT = 0.25
"""What one picture counts against those before it: a layout of the screen takes ten times what a line does."""


class Frames:
    """Calls ``paint`` for a widget, once however often it was asked in the meantime."""

    def __init__(self, widget: Widget, paint: Callable[[], None], share: float) -> None:
        """``share`` of a core's time, at most, goes into pictures: the engine computes on the same cores."""
        self._widget = widget
        self._paint = paint
        self._share = share
        self._usual = 0.0  # seconds that the event loop computes from the beginning of a picture on, for a FRAME
        self._began = 0.0
        self._asked = False
        self._resting = False

    def ask(self) -> None:
        """There is something to paint."""
        self._asked = True
        if not self._resting:
            self._begin()

    def _begin(self) -> None:
        self._asked, self._resting = False, True
        self._began = thread_time()
        # neither Textual's timers nor its calls after a refresh, which are tasks and messages for each picture
        get_running_loop().call_later(FRAME, self._rest)
        self._paint()

    def _rest(self) -> None:
        self._usual += (thread_time() - self._began - self._usual) * WEIGHT
        whole = min(self._usual / self._share, LONGEST)
        get_running_loop().call_later(max(0.0, whole - FRAME), self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        if self._asked and self._widget.is_running:
            self._begin()
