"""Reading the conversation ahead under what a person looks at in the picker, so that choosing it costs no wait."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from edgelora.errors import EdgeloraError
from edgelora.tui.state import Warmth
from edgelora.types import Failed, Finished, Prefilling

if TYPE_CHECKING:
    from edgelora.chat.resolved import ResolvedSelection
    from edgelora.chat.session import ChatSession
    from edgelora.tui.conductor import Conductor
    from edgelora.tui.picks import Pick
    from edgelora.tui.stage import Stage
    from edgelora.tui.state import ChatState

PAUSE = 0.2
"""Seconds that somebody must look at an adapter before it is read ahead: who runs through the list wants none of it."""

LOOK_AGAIN = 0.3
"""Seconds between two looks whether the conversation has gone on."""


class Warming:
    """One pick at a time. The engine computes it while it has nothing else to do, and drops it if it is in the way."""

    def __init__(self, state: ChatState, stage: Stage, conductor: Conductor) -> None:
        self._state = state
        self._stage = stage
        self._conductor = conductor
        self._task: asyncio.Task[None] | None = None

    def aim(self, pick: Pick | None) -> None:
        """Read ahead under ``pick`` instead of what was aimed at before; None ends it."""
        if self._task:
            self._task.cancel()
            self._task = None
        self._show(None)
        if pick is not None and self._can_be_read(pick):
            self._task = asyncio.create_task(self._keep_warm(pick))

    def _can_be_read(self, pick: Pick) -> bool:
        """Whether everything is there without a conversion, which would take long, or another base."""
        entries = [self._state.entry(member.ref) for member in pick]
        usable = all(entry and entry.sha256 and not self._state.problem(entry) for entry in entries)
        return usable and not self._state.baked

    async def _keep_warm(self, pick: Pick) -> None:
        read: object = None  # the conversation that was read last
        await asyncio.sleep(PAUSE)
        while True:
            session = self._conductor.session
            if session and self._state.phase in ("ready", "answering") and session.conversation is not read:
                read = session.conversation
                if not await self._read(session, pick):
                    read = None
            await asyncio.sleep(LOOK_AGAIN)

    async def _read(self, session: ChatSession, pick: Pick) -> bool:
        """Whether the conversation is read now, or never will be: what is wrong is said once the pick is chosen."""
        self._show(Warmth(pick))
        try:
            resolved = await self._conductor.adapters.resolve(pick)
            done = await self._compute(session, pick, resolved)
        except EdgeloraError:
            done = None
        self._show(Warmth(pick, ready=True) if done else None)
        return done is not False

    async def _compute(self, session: ChatSession, pick: Pick, resolved: ResolvedSelection) -> bool | None:
        """Whether it was computed to its end; None where it failed."""
        last: object = None
        async with aclosing(session.ahead().reread(resolved)) as events:
            async for event in events:
                last = event
                if isinstance(event, Prefilling):
                    self._show(Warmth(pick, False, event.done, event.total))
        if isinstance(last, Finished):
            return last.reason != "cancelled"
        return True if not isinstance(last, Failed) else None

    def _show(self, warmth: Warmth | None) -> None:
        if self._state.warm != warmth:
            self._state.warm = warmth
            self._stage.refresh_state()
