"""How soon an engine that died is started again, and when to stop trying."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgelora.errors import EdgeloraError, EngineDiedError

WINDOW = 60.0
"""Seconds in which deaths are counted."""

MOST_DEATHS = 5
"""So many within the window, without an answer in between, are the end."""

FIRST_PAUSE = 0.5
"""Seconds before the second restart; each further one waits twice as long. The first waits for nothing."""


class Restarts:
    """Counts deaths since the last answer. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: list[float] = []

    def note_answer(self) -> None:
        """The engine has answered, so it works."""
        self._deaths.clear()

    def pause_after(self, death: EdgeloraError) -> float:
        """Seconds to wait after this ``death``. Raises EngineDiedError where it was one too many."""
        now = self._clock()
        self._deaths = [*(then for then in self._deaths if now - then < WINDOW), now]
        deaths = len(self._deaths)
        if deaths >= MOST_DEATHS:
            raise EngineDiedError(
                f"the engine ended {deaths} times within a minute without an answer; the last time: {death.message}",
                "It is not started again. Close other programs if memory is short, and open the base again.",
            )
        return FIRST_PAUSE * 2 ** (deaths - 2) if deaths > 1 else 0.0
