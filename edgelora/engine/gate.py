"""Lets requests into the engine: any number together, or one alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


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
        async with self._entrance:
            if alone():
                await self._empty.wait()
                yield
                return
            self._n_inside += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._n_inside -= 1
            if not self._n_inside:
                self._empty.set()
