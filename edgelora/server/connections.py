"""Connections on which nothing happens are closed, also while the head of a request trickles in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

KEEP_ALIVE_S = 65
MOST_CONNECTIONS = 900
"""Below the 1024 open files that systems usually allow. More connections are answered with 503."""


class Connection(H11Protocol):
    """uvicorn's, whose own limit for a quiet connection begins with the first answer and ends with the next byte."""

    look_s = KEEP_ALIVE_S
    _next_look: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look."""
        super().connection_made(transport)
        self._next_look = self.loop.call_later(self.look_s, self._look, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        self._next_look.cancel()
        super().connection_lost(exc)

    def _look(self, before: RequestResponseCycle | None) -> None:
        """End it where no request was begun or answered since the look before, or nobody takes what was said last."""
        now: RequestResponseCycle | None = self.cycle
        if self.transport.is_closing() or (now is before and (now is None or now.response_complete)):
            self.transport.abort()
        else:
            self._next_look = self.loop.call_later(self.look_s, self._look, now)
