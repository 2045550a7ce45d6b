"""Requests to a supervised engine, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from edgelora.engine.messages import Command, Load, Submit
from edgelora.engine.supervised import SupervisedEngine
from edgelora.errors import EdgeloraError
from edgelora.types import (
    AdapterFile,
    EngineEvent,
    Failed,
    Finished,
    Member,
    Request,
    RequestEvent,
    Selection,
)
from support.engine_links import (
    Outcome,
    adapter_file,
    obliging,
)

A, B = adapter_file("a"), adapter_file("b")


def under(*files: AdapterFile, name: str = "x") -> Request:
    return Request(name, (1,), Selection.of(Member(file.sha256) for file in files))


async def collect(engine: SupervisedEngine, request: Request) -> list[RequestEvent]:
    return [event async for event in engine.generate(request)]


async def ending(engine: SupervisedEngine, request: Request) -> Finished | EdgeloraError:
    """How the request ended; that it ended once, with its last event."""
    events = await collect(engine, request)
    ends = [event for event in events if isinstance(event, Finished | Failed)]
    assert ends == events[-1:]
    return ends[0].error if isinstance(ends[0], Failed) else ends[0]


def when(condition: Callable[[Command], bool], then: Outcome) -> Callable[[Command], Outcome]:
    """Everything goes well, except where ``condition`` holds."""
    return lambda command: then if condition(command) else obliging(command)


def computes(*files: AdapterFile) -> Callable[[Command], bool]:
    """Is it a request under exactly these adapters?"""
    wanted = {file.sha256 for file in files}
    return lambda command: isinstance(command, Submit) and set(command.request.selection.adapters) == wanted


def loads(file: AdapterFile) -> Callable[[Command], bool]:
    return lambda command: isinstance(command, Load) and command.adapter == file


class Listener:
    """Collects the events of an engine."""

    def __init__(self, engine: SupervisedEngine) -> None:
        self.heard: list[EngineEvent] = []
        self._task = asyncio.create_task(self._listen(engine.events()))

    async def _listen(self, events: AsyncIterator[EngineEvent]) -> None:
        async for event in events:
            self.heard.append(event)

    async def until(self, kind: type[EngineEvent], count: int = 1) -> None:
        while sum(isinstance(event, kind) for event in self.heard) < count:
            await asyncio.sleep(0)


async def begun(engine: SupervisedEngine, request: Request) -> asyncio.Task[Finished | EdgeloraError]:
    """``request`` on its way into the engine."""
    task = asyncio.create_task(ending(engine, request))
    for _ in range(20):
        await asyncio.sleep(0)
    return task
