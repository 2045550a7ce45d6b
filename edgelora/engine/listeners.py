"""Who hears what happens to an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from edgelora.types import EngineDied, EngineEvent


class Listeners:
    """Any number of listeners, each of which hears every event from its :meth:`listen` on, at its own pace."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[EngineEvent | None]] = set()
        self._died: EngineDied | None = None
        self._ended = False

    def tell(self, event: EngineEvent) -> None:
        """Let everybody hear ``event``. An end that nothing follows is heard by those who come later, too."""
        if isinstance(event, EngineDied) and not event.restarting:
            self._died = event
        for queue in self._queues:
            queue.put_nowait(event)

    def end(self) -> None:
        """There will be no more events."""
        self._ended = True
        for queue in self._queues:
            queue.put_nowait(None)

    def listen(self) -> AsyncIterator[EngineEvent]:
        """What is told from now on, until the end."""
        queue: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        self._queues.add(queue)
        if self._died:
            queue.put_nowait(self._died)
        if self._died or self._ended:
            queue.put_nowait(None)
        return self._heard(queue)

    async def _heard(self, queue: asyncio.Queue[EngineEvent | None]) -> AsyncIterator[EngineEvent]:
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._queues.discard(queue)
