"""An engine whose answers are counted for the adapters that made them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from edgelora.types import Finished

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from edgelora.engine.client import EngineClient
    from edgelora.types import Request, RequestEvent


def counted(engine: EngineClient) -> EngineClient:
    """``engine``, whose answers are counted beside the library, but for those in the background."""
    return cast("EngineClient", _Counted(engine))


class _Counted:
    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, request: Request) -> AsyncGenerator[RequestEvent, None]:
        async with aclosing(self._engine.generate(request)) as events:
            async for event in events:
                if isinstance(event, Finished) and event.adapters and not request.background:
                    await asyncio.to_thread(_count, event)
                yield event


def _count(made_by: Finished) -> None:
    from edgelora.adapters.store.usage import UsageCounts
    from edgelora.config import locations

    UsageCounts(locations.adapters_dir()).count(made_by)
