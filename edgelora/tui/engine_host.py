"""The engine behind the chat: opened beside the library, watched while it answers, closed for another one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgelora.errors import EdgeloraError
from edgelora.tui.metering import MeteredEngine
from edgelora.tui.watching import watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from edgelora.engine.client import EngineClient
    from edgelora.tui.setup import ChatSetup
    from edgelora.tui.stage import Stage
    from edgelora.tui.state import ChatState
    from edgelora.types import EngineStats, ReportProgress


class EngineHost:
    """Has one engine at a time; none at first."""

    def __init__(
        self, setup: ChatSetup, state: ChatState, stage: Stage, go_down: Callable[[EdgeloraError], Awaitable[None]]
    ) -> None:
        """``go_down`` is told of an engine that ended by itself and does not come back."""
        self._setup = setup
        self._state = state
        self._stage = stage
        self._go_down = go_down
        self._engine: EngineClient | None = None
        self._watching: asyncio.Task[None] | None = None

    async def open(self, base: Path, library: Coroutine[None, None, None], report: ReportProgress) -> EngineClient:
        """An engine for ``base``, while ``library`` is opened too. It is not in use yet. Raises EdgeloraError.

        Leaves no engine behind if either fails or this is cancelled.
        """
        opening = asyncio.ensure_future(self._setup.open_engine(base, report))
        try:
            await library
            return MeteredEngine(await asyncio.shield(opening), self._state.meter)
        except BaseException:
            opening.cancel()
            outcome = (await asyncio.gather(opening, return_exceptions=True))[0]
            if not isinstance(outcome, BaseException):
                await outcome.close()
            raise

    def use(self, engine: EngineClient) -> None:
        """Answer with ``engine`` from here on, and say what it reports by itself."""
        self._engine = engine
        self._state.base = engine.base
        self._state.note_engine_gone()  # the former, with all that it had in memory
        self._watching = asyncio.create_task(watch(engine, self._state, self._stage, self._go_down))

    async def stats(self) -> EngineStats | None:
        """What the engine says about itself; None while there is none."""
        try:
            return await self._engine.stats() if self._engine and self._state.phase != "down" else None
        except EdgeloraError:
            return None

    async def close(self) -> None:
        """Close the engine, if there is one."""
        if self._watching:
            self._watching.cancel()
        if self._engine:
            await self._engine.close()
