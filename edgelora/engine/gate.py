"""Lets requests into the engine: any number together, or one alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress

PATIENCE = 60.0
"""Seconds that others wait for one who is alone, and it for them: whoever reads an answer may have fallen asleep."""


class Gate:
    """First come, first served; who enters alone waits until all others have left, and nobody passes it."""

    def __init__(self) -> None:
        self._entrance = asyncio.Lock()
        self._n_inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def passed(self, alone: Callable[[], bool]) -> AsyncIterator[None]:
        """Be inside. ``alone`` is asked when it is this one's turn."""
        await self._entrance.acquire()
        with ExitStack() as entered:
            entered.callback(self._entrance.release)
            if alone():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._empty.wait(), PATIENCE)
                timer = asyncio.get_running_loop().call_later(PATIENCE, entered.close)
                entered.callback(timer.cancel)
            else:
                entered.close()
            self._n_inside += 1
            self._empty.clear()
            try:
                yield
            finally:
                self._n_inside -= 1
                if not self._n_inside:
                    self._empty.set()
