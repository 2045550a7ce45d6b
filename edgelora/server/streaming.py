"""Server-sent events, and work that ends when the client goes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import Response

from edgelora.server.errors import ApiError, internal_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping

    from starlette.types import Receive, Scope, Send

Result = TypeVar("Result")
DONE = "[DONE]"


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


async def until_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of ``work``. Raises ClientGoneError, with the work cancelled, as soon as the client has left."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


class EventStream(Response):
    """Sends each of ``documents`` as an event when it comes, and calls ``close`` at the end or when the client leaves.

    A client that takes nothing for ``stall_s`` seconds has left. An ApiError in the middle is an event too: the status
    has gone out by then.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        documents: AsyncGenerator[dict[str, Any], None],
        headers: Mapping[str, str],
        close: Callable[[], Awaitable[None]],
        *,
        stall_s: float,
        ends_with: str = DONE,
    ) -> None:
        super().__init__(headers={**headers, "cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._documents, self._close = documents, close
        self._stall_s, self._ends_with = stall_s, ends_with

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything."""
        try:
            await until_gone(receive, self._send_all(send))
        except (ClientGoneError, OSError):
            pass
        finally:
            await self._documents.aclose()
            await self._close()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for document in self._documents:
                await self._event(send, json.dumps(document, ensure_ascii=False, separators=(",", ":")))
        except ApiError as error:
            await self._event(send, json.dumps(error.body))
        except OSError:
            raise
        except Exception:
            await self._event(send, json.dumps(internal_error().body))
            raise
        else:
            if self._ends_with:
                await self._event(send, self._ends_with)
        await self._body(send, b"", more=False)

    async def _event(self, send: Send, data: str) -> None:
        await self._body(send, f"data: {data}\n\n".encode("utf-8", "replace"), more=True)

    async def _body(self, send: Send, body: bytes, *, more: bool) -> None:
        async with asyncio.timeout(self._stall_s):
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
