"""When Python looks for garbage among all that lives: a key would wait for that, up to a tenth of a second."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from textual.app import App
from textual.events import InputEvent

if TYPE_CHECKING:
    from textual.events import Event

PAUSE = 3.0
"""Seconds without a key or the mouse."""
WORTH_IT = 10
"""Collections of younger objects after which Python would look through all."""
SELDOM = 100
"""As many of them where nobody ever pauses."""


class CollectingApp(App[None], inherit_bindings=False):
    """Collects in pauses. An app on an interpreter that collects already, as in tests, leaves that alone."""

    _in_use = False

    def begin_to_collect(self) -> None:
        """What the start has made stays, and is not looked through any more."""
        if gc.isenabled():
            return
        gc.freeze()
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, SELDOM)
        gc.enable()
        self.set_interval(PAUSE, self.collect_in_pause)

    async def on_event(self, event: Event) -> None:
        """Take note of keys."""
        if isinstance(event, InputEvent):
            self._in_use = True
        await super().on_event(event)

    def collect_in_pause(self) -> None:
        """Collect if no key came since the last time, and if it is worth it."""
        in_use, self._in_use = self._in_use, False
        if not in_use and gc.get_count()[2] >= WORTH_IT:
            gc.collect()
