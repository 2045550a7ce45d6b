"""The chat as its pictures show it: the demo, on an engine that says what the demo said, always equally fast."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from support.fake_engine import FakeEngine, base_info

from edgelora.tui.picks import made_by_label
from edgelora.types import EngineStats, Finished, KVStats, LoadTimes, Token
from tests.tui.driving import Driver, chat
from tests.tui.fake_library import FakeLibrary, entry
from tests.tui.snapshots.said import EXAMPLES, TO_ITS_EXAMPLE, Said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.types import AttestedAdapter, BaseInfo, Request, RequestEvent

DEMO = replace(base_info(ctx=2048), name="edgelora demo", n_params=5_240_000)
NOW = 1_790_000_000.0
"""Seconds since 1970, whenever a picture is taken."""
TARGETS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def demo_adapters() -> list[AdapterEntry]:
    """The demo's four."""
    ranks = {"chat": 8, "coding": 16, "legal": 12, "medical": 10}
    return [
        entry(name, ranks[name], 26_000 * ranks[name], targets=TARGETS, example_prompt=prompt)
        for name, prompt in EXAMPLES.items()
    ]


@dataclass
class SteadyEngine(FakeEngine):
    """Says what is ``said`` under each label, as fast as it was said, whatever this machine does. Where ``pause_after``
    is given, every answer waits after so many words until ``resume`` is set."""

    base: BaseInfo = field(default_factory=lambda: DEMO)
    said: Mapping[str, Said] = field(default_factory=lambda: TO_ITS_EXAMPLE)
    pause_after: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.resume = asyncio.Event()

    async def generate(self, request: Request) -> AsyncIterator[RequestEvent]:
        words = 0
        async for event in super().generate(request):
            words += isinstance(event, Token)
            if isinstance(event, Finished):
                said = self._said(event.adapters)
                count = said.tokens if words else 0
                event = replace(event, ttft_ms=said.ttft_ms, tok_per_s=said.tok_per_s, completion_tokens=count)
            yield event
            if isinstance(event, Token) and words == self.pause_after:
                await self.resume.wait()

    def _answer(self, made_by: tuple[AttestedAdapter, ...]) -> str:
        return self._said(made_by).text

    def _said(self, made_by: tuple[AttestedAdapter, ...]) -> Said:
        label = made_by_label(made_by, ())
        return self.said.get(label, Said(f"An answer from {label}.", 6.0, 1900, 5))

    async def stats(self) -> EngineStats:
        times = LoadTimes(read_ms=1.0)
        kv = KVStats(parked_bytes=1_300_000)
        return EngineStats(5_600_000, 12_600_000, 2_900_000, 420_000, 1, 0, 2, 1, 3, 0, times, times, 1.0, kv)

    async def close(self) -> None:
        self.resume.set()
        await super().close()


@asynccontextmanager
async def stage(
    *engines: FakeEngine | Exception,
    size: tuple[int, int] = (100, 30),
    library: FakeLibrary | None = None,
    is_demo: bool = True,
    **setup: object,
) -> AsyncIterator[Driver]:
    """The chat on the demo, with nothing in it that moves by itself."""
    library = library or FakeLibrary(demo_adapters())
    engines = engines or (SteadyEngine(),)
    async with chat(*engines, size=size, library=library, is_demo=is_demo, **setup) as driver:  # type: ignore[arg-type]
        driver.app.animation_level = "none"
        yield driver


def days_ago(days: float) -> float:
    """Seconds since 1970."""
    return NOW - 86_400 * days
