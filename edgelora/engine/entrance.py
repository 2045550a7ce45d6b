"""Requests on their way into the engine: they can be cancelled there, or run out of time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from edgelora.engine.failures import too_late
from edgelora.types import Request


class CancelledEarlyError(Exception):
    """A request was cancelled before the engine had it."""


class Entrance:
    """Times the waiting of requests; their ids are unique."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Timeout] = {}

    @asynccontextmanager
    async def wait(self, request: Request, arrived: float) -> AsyncIterator[None]:
        """Wait in here for as long as ``request`` may, which ``arrived`` at that time of the event loop.

        Raises CancelledEarlyError or DeadlineError.
        """
        deadline = None if request.deadline_s is None else arrived + request.deadline_s
        try:
            async with asyncio.timeout_at(deadline) as scope:
                self._waiting[request.id] = scope
                yield
        except TimeoutError:
            if scope.when() == 0:
                raise CancelledEarlyError from None
            raise too_late(request) from None
        finally:
            self._waiting.pop(request.id, None)

    def cancel(self, request: str) -> bool:
        """End the waiting of a request. False where it does not wait."""
        scope = self._waiting.get(request)
        if scope:
            scope.reschedule(0)
        return scope is not None


def remaining(request: Request, arrived: float) -> Request:
    """``request`` with what is left of its time, in tenths of a second."""
    if request.deadline_s is None:
        return request
    left = arrived + request.deadline_s - asyncio.get_running_loop().time()
    return replace(request, deadline_s=max(0.1, math.ceil(left * 10) / 10))
