"""The client's half, the same for an engine in a thread and in a process: calls, requests, events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import count
from typing import Protocol

from edgelora.engine.listeners import Listeners
from edgelora.engine.messages import (
    Abandon,
    Cancel,
    Close,
    Command,
    Detokenize,
    Embed,
    Evict,
    Happened,
    Know,
    Load,
    Loading,
    Message,
    Opened,
    OpenFailed,
    Pin,
    Reply,
    Stats,
    Submit,
    Tokenize,
)
from edgelora.errors import EdgeloraError, EngineDiedError, EngineError
from edgelora.types import (
    AdapterEvicted,
    AdapterFile,
    AdapterLoaded,
    AdapterStatus,
    BaseInfo,
    EngineDied,
    EngineEvent,
    EngineRestarted,
    EngineStats,
    Event,
    Failed,
    Finished,
    ReportProgress,
    Request,
    RequestEvent,
    Selection,
)


class Link(Protocol):
    """The way to the engine."""

    def send(self, command: Command) -> None:
        """Deliver ``command``; if the engine is gone it is dropped, and the client is told otherwise."""

    def kill(self) -> None:
        """End an engine at once whose base is not open, if that is possible."""

    async def wait_closed(self) -> None:
        """Wait until the engine has ended."""


class RemoteEngine:
    """Turns messages into awaited answers and streams. All methods belong to one event loop."""

    def __init__(self, report: ReportProgress) -> None:
        self._link: Link | None = None
        self._report = report
        self._numbers = count(1)
        self._calls: dict[int, asyncio.Future[object]] = {}
        self._streams: dict[str, asyncio.Queue[RequestEvent]] = {}
        self._listeners = Listeners()
        self._opened: asyncio.Future[BaseInfo] = asyncio.get_running_loop().create_future()
        self.died: EdgeloraError | None = None  # why, if it ended by itself
        self._closed = False

    async def open(self, link: Link) -> RemoteEngine:
        """Wait until the base behind ``link`` is open. Raises what the engine failed with."""
        self._link = link
        try:
            await self._opened
        except BaseException:
            link.kill()
            await self.close()
            raise
        return self

    @property
    def base(self) -> BaseInfo:
        """What was opened."""
        return self._opened.result()

    async def generate(self, request: Request) -> AsyncGenerator[RequestEvent, None]:
        """Submit ``request`` and yield its events; leaving early cancels it."""
        refusal = self._gone or self._taken(request)
        if refusal:
            yield Failed(request.id, refusal)
            return
        events: asyncio.Queue[RequestEvent] = asyncio.Queue()
        self._streams[request.id] = events
        self._send(Submit(request))
        ended = False
        try:
            while not ended:
                event = await events.get()
                ended = isinstance(event, Finished | Failed)
                yield event
        finally:
            self._streams.pop(request.id, None)
            if not ended:
                self._send(Cancel(request.id))

    async def cancel(self, request: str) -> None:
        """End a request within one step."""
        self._send(Cancel(request))

    async def load(self, adapter: AdapterFile) -> AdapterStatus:
        """Make ``adapter`` resident."""
        call = next(self._numbers)
        status = await self._call(call, Load(call, adapter))
        assert isinstance(status, AdapterStatus)
        return status

    def know(self, adapter: AdapterFile, status: AdapterStatus, *, pinned: bool) -> None:
        """Hand over what a former engine found out about ``adapter``; requests may select it."""
        self._send(Know(adapter, status, pinned))

    async def evict(self, sha256: str) -> None:
        """Give an adapter's memory back, once nobody uses it."""
        call = next(self._numbers)
        await self._call(call, Evict(call, sha256))

    async def pin(self, sha256: str, pinned: bool) -> None:
        """Keep an adapter from being evicted to make room, or no longer."""
        call = next(self._numbers)
        await self._call(call, Pin(call, sha256, pinned))

    async def stats(self) -> EngineStats:
        """Memory, counts and load times at this moment."""
        call = next(self._numbers)
        stats = await self._call(call, Stats(call))
        assert isinstance(stats, EngineStats)
        return stats

    async def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> tuple[int, ...]:
        """The token ids of ``text``."""
        call = next(self._numbers)
        tokens = await self._call(call, Tokenize(call, text, parse_special, add_special))
        assert isinstance(tokens, tuple)
        return tokens

    async def detokenize(self, tokens: tuple[int, ...]) -> bytes:
        """The bytes of ``tokens``."""
        call = next(self._numbers)
        data = await self._call(call, Detokenize(call, tokens))
        assert isinstance(data, bytes)
        return data

    async def embed(self, tokens: tuple[int, ...], selection: Selection) -> tuple[float, ...]:
        """The embedding of ``tokens``; leaving early gives it up."""
        call = next(self._numbers)
        try:
            embedding = await self._call(call, Embed(call, tokens, selection))
        except asyncio.CancelledError:
            self._send(Abandon(call))
            raise
        assert isinstance(embedding, tuple)
        return embedding

    def events(self) -> AsyncIterator[EngineEvent]:
        """What happens to the engine itself, from now on."""
        return self._listeners.listen()

    async def close(self) -> None:
        """End the engine. Safe to call twice."""
        if not self._closed:
            self._send(Close())
            self._closed = True
            self._fail_everything(EngineDiedError("the engine was closed"))
            self._listeners.end()
        if self._link:
            await self._link.wait_closed()

    # --- what the link calls, in the event loop

    def on_message(self, message: Message) -> None:
        """A message from the engine."""
        match message:
            case Loading(progress):
                self._report(progress)
            case Opened(base):
                if not self._opened.done():
                    self._opened.set_result(base)
            case OpenFailed(error):
                if not self._opened.done():
                    self._opened.set_exception(error)
            case Reply():
                self._resolve(message)
            case Happened(events):
                for event in events:
                    self._hear(event)

    def on_lost(self, error: EdgeloraError) -> None:
        """The engine ended. Unless that was asked for, ``error`` is why everything open fails."""
        if self._closed or self.died:
            return
        self.died = error
        if not self._opened.done():
            self._opened.set_exception(error)
        self._fail_everything(error)
        self._listeners.tell(EngineDied(error))

    # --- how

    @property
    def _gone(self) -> EdgeloraError | None:
        return EngineDiedError("the engine was closed") if self._closed else self.died

    def _taken(self, request: Request) -> EdgeloraError | None:
        return EngineError(f"a request with the id {request.id} is running") if request.id in self._streams else None

    def _send(self, command: Command) -> None:
        if self._link and not self._gone:
            self._link.send(command)

    async def _call(self, call: int, command: Command) -> object:
        if self._gone:
            raise self._gone.with_traceback(None)
        future = self._calls[call] = asyncio.get_running_loop().create_future()
        self._send(command)
        try:
            return await future
        finally:
            self._calls.pop(call, None)

    def _resolve(self, reply: Reply) -> None:
        future = self._calls.get(reply.call)
        if future is None or future.done():
            return  # its caller was cancelled
        if reply.error:
            future.set_exception(reply.error)
        else:
            future.set_result(reply.value)

    def _hear(self, event: Event) -> None:
        """Tell those whom ``event`` concerns."""
        match event:
            case AdapterLoaded() | AdapterEvicted() | EngineDied() | EngineRestarted():
                self._listeners.tell(event)
            case _:
                if stream := self._streams.get(event.request):
                    stream.put_nowait(event)

    def _fail_everything(self, error: EdgeloraError) -> None:
        for request, stream in self._streams.items():
            stream.put_nowait(Failed(request, error))
        for future in self._calls.values():
            if not future.done():
                future.set_exception(error)
