"""An engine whose work is counted on the way, for whoever wants to see what the machine is doing."""

from __future__ import annotations

import time
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgelora.types import Finished, Token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from edgelora.engine.client import EngineClient
    from edgelora.types import (
        AdapterFile,
        AdapterStatus,
        BaseInfo,
        EngineEvent,
        EngineStats,
        Request,
        RequestEvent,
        Selection,
    )

SWAPS = 5


@dataclass(frozen=True)
class Swap:
    """Something that a swap took, in milliseconds: an adapter ``loaded``, or the conversation read under it."""

    what: str
    ms: float


@dataclass
class Meter:
    """What was done since the chat began: pieces of answers, which are tokens but for split characters; swaps."""

    tokens: int = 0
    swaps: deque[Swap] = field(default_factory=lambda: deque(maxlen=SWAPS))


class MeteredEngine:
    """Implements EngineClient by the one that it is given."""

    def __init__(self, engine: EngineClient, meter: Meter) -> None:
        self._engine = engine
        self._meter = meter

    @property
    def base(self) -> BaseInfo:
        """What was opened."""
        return self._engine.base

    async def generate(self, request: Request) -> AsyncGenerator[RequestEvent, None]:
        """Count what comes."""
        async with aclosing(self._engine.generate(request)) as events:
            async for event in events:
                if isinstance(event, Token):
                    self._meter.tokens += 1
                elif isinstance(event, Finished) and request.background and event.reason != "cancelled":
                    names = " + ".join(adapter.name for adapter in event.adapters) or "base"
                    computed = event.prompt_tokens - event.reused_tokens
                    self._meter.swaps.append(Swap(f"{computed:,} tokens read under {names}", event.ttft_ms))
                yield event

    async def load(self, adapter: AdapterFile) -> AdapterStatus:
        """Take the time."""
        began = time.perf_counter()
        status = await self._engine.load(adapter)
        self._meter.swaps.append(Swap(f"{adapter.name} loaded", 1000 * (time.perf_counter() - began)))
        return status

    async def cancel(self, request: str) -> None:
        """As the engine."""
        await self._engine.cancel(request)

    async def evict(self, sha256: str) -> None:
        """As the engine."""
        await self._engine.evict(sha256)

    async def pin(self, sha256: str, pinned: bool) -> None:
        """As the engine."""
        await self._engine.pin(sha256, pinned)

    async def stats(self) -> EngineStats:
        """As the engine."""
        return await self._engine.stats()

    async def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> tuple[int, ...]:
        """As the engine."""
        return await self._engine.tokenize(text, parse_special=parse_special, add_special=add_special)

    async def detokenize(self, tokens: tuple[int, ...]) -> bytes:
        """As the engine."""
        return await self._engine.detokenize(tokens)

    async def embed(self, tokens: tuple[int, ...], selection: Selection) -> tuple[float, ...]:
        """As the engine."""
        return await self._engine.embed(tokens, selection)

    def events(self) -> AsyncIterator[EngineEvent]:
        """As the engine."""
        return self._engine.events()

    async def close(self) -> None:
        """As the engine."""
        await self._engine.close()
