"""One prompt under several selections at the same time, each on a fork of the session."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from random import randrange
from typing import TYPE_CHECKING

from edgelora.types import LARGEST_SEED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from edgelora.chat.resolved import ResolvedSelection
    from edgelora.chat.session import ChatSession, SessionEvent
    from edgelora.types import SamplingParams


class Comparison:
    """Columns that answer the same prompt, counted from 0. All are asked at once, so the engine batches them.

    They share one seed, so that chance makes no difference between them. A column that fails leaves the others. The
    session's own conversation stays as it was until :meth:`choose`.
    """

    def __init__(
        self,
        session: ChatSession,
        prompt: str,
        columns: Sequence[ResolvedSelection],
        sampling: Sequence[SamplingParams] | None = None,
    ) -> None:
        """``sampling`` is of each column; None: the session's."""
        self._session = session
        self._prompt = prompt
        self._before = self._current = session.conversation
        seed = randrange(LARGEST_SEED)
        pairs = zip(columns, sampling or [session.sampling] * len(columns), strict=True)
        self._columns = [(session.fork(seed, each), resolved) for resolved, each in pairs]
        self._stopped: set[int] = set()

    async def events(self) -> AsyncGenerator[tuple[int, SessionEvent], None]:
        """What happens in which column, in the order it comes. The last event of a column is Finished or Failed.

        Nothing is raised. A column that was stopped before it was asked has no event at all. Leaving early cancels all.
        """
        arrived: asyncio.Queue[tuple[int, SessionEvent] | None] = asyncio.Queue()
        asking = [asyncio.create_task(self._ask(column, arrived)) for column in range(len(self._columns))]
        going = len(asking)
        try:
            while going:
                event = await arrived.get()
                if event is None:
                    going -= 1
                else:
                    yield event
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def stop(self, column: int | None = None) -> None:
        """Cancel one column, or all; what it said until then stays."""
        for each in range(len(self._columns)) if column is None else (column,):
            self._stopped.add(each)
            await self._columns[each][0].stop()

    @property
    def choosable(self) -> tuple[int, ...]:
        """The columns that ended with an answer, while the conversation can still go on from another of them."""
        if self._session.conversation is not self._current:
            return ()
        forks = enumerate(fork for fork, _ in self._columns)
        return tuple(i for i, fork in forks if len(fork.conversation.turns) > len(self._before.turns))

    def choose(self, column: int) -> None:
        """Let the session go on from a column's answer; another one may be chosen instead until it has gone on."""
        if column in self.choosable:
            self._session.conversation = self._current = self._columns[column][0].conversation

    async def _ask(self, column: int, arrived: asyncio.Queue[tuple[int, SessionEvent] | None]) -> None:
        session, resolved = self._columns[column]
        try:
            if column not in self._stopped:
                async with aclosing(session.ask(self._prompt, resolved)) as events:
                    async for event in events:
                        arrived.put_nowait((column, event))
        finally:
            arrived.put_nowait(None)
