"""An engine that comes back when its process dies.

What was running ends with an error that says so; what had not begun, and what comes meanwhile, waits for the new
engine. It opens the same base and is told which adapters were known, so that a selection made before simply works.
Who is to blame is the question of :mod:`edgelora.engine.quarantine`, when to stop trying that of
:mod:`edgelora.engine.restarts`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path

from edgelora.engine.entrance import CancelledEarlyError, Entrance, remaining
from edgelora.engine.failures import as_error
from edgelora.engine.gate import Gate
from edgelora.engine.listeners import Listeners
from edgelora.engine.quarantine import BASE_ALONE, TEXT, Group, Quarantine, base_refused
from edgelora.engine.remote import RemoteEngine
from edgelora.engine.restarts import Restarts
from edgelora.errors import EdgeloraError, EngineDiedError, EngineError
from edgelora.types import (
    AdapterFile,
    AdapterStatus,
    BaseInfo,
    EngineDied,
    EngineEvent,
    EngineRestarted,
    EngineStats,
    Failed,
    Finished,
    Request,
    RequestEvent,
    Selection,
    Started,
)

Start = Callable[[], Awaitable[RemoteEngine]]
"""Opens the base in a new process. Raises what that fails with, EngineDiedError if the process died of it."""


class SupervisedEngine:
    """Implements EngineClient over one engine after another, each made by ``start`` on the base at ``path``."""

    def __init__(self, path: Path, start: Start, restarts: Restarts | None = None) -> None:
        self._path, self._start = path, start
        self._restarts = restarts or Restarts()
        self._files: dict[str, AdapterFile] = {}
        self._statuses: dict[str, AdapterStatus] = {}
        self._pinned: set[str] = set()
        self._quarantine = Quarantine(str(path), self._words_for)
        self._gate = Gate()
        self._inside: Counter[Group | None] = Counter()  # what uses the engine now
        self._entrance = Entrance()
        self._listeners = Listeners()
        self._engine: RemoteEngine | None = None  # None while there is none
        self._gone: EdgeloraError | None = None  # why there will be none any more
        self._decided = asyncio.Event()  # there is one, or there will be none any more
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> SupervisedEngine:
        """Open the base. Raises what that fails with."""
        self._adopt(await self._started())
        return self

    @property
    def base(self) -> BaseInfo:
        """What was opened."""
        return self._base

    async def generate(self, request: Request) -> AsyncGenerator[RequestEvent, None]:
        """Submit ``request`` and yield its events. One that had not begun when the engine died is submitted again."""
        group, begun = frozenset(request.selection.adapters), False
        arrived = asyncio.get_running_loop().time()
        while True:
            try:
                async with AsyncExitStack() as used:
                    async with self._entrance.wait(request, arrived):
                        engine = await used.enter_async_context(self._use(group))
                    answer = engine.generate(remaining(request, arrived))
                    events = await used.enter_async_context(aclosing(answer))
                    async for event in events:
                        self._note(event, group)
                        begun = begun or isinstance(event, Started)
                        yield event
                return
            except CancelledEarlyError:
                yield Finished(request.id, "cancelled", (), len(request.tokens), 0, 0, 0.0, 0.0)
                return
            except EdgeloraError as error:
                if begun or self._gone or not isinstance(error, EngineDiedError):
                    yield Failed(request.id, error)
                    return

    async def cancel(self, request: str) -> None:
        """End a request within one step, also one that waits for the engine."""
        if not self._entrance.cancel(request) and self._engine:
            await self._engine.cancel(request)

    async def load(self, adapter: AdapterFile) -> AdapterStatus:
        """Make ``adapter`` resident. Raises QuarantinedError if it has crashed the engine twice."""
        self._files[adapter.sha256] = adapter
        async with self._use(frozenset({adapter.sha256})) as engine:
            status = self._statuses[adapter.sha256] = await engine.load(adapter)
        return status

    async def evict(self, sha256: str) -> None:
        """Give an adapter's memory back, once nobody uses it."""
        self._pinned.discard(sha256)
        engine = await self._ready()
        with suppress(EngineDiedError):  # then nothing is resident
            await engine.evict(sha256)

    async def pin(self, sha256: str, pinned: bool) -> None:
        """Keep an adapter from being evicted to make room, or no longer; a restart does not change that."""
        async with self._using(None) as engine:
            await engine.pin(sha256, pinned)
        (self._pinned.add if pinned else self._pinned.discard)(sha256)

    async def stats(self) -> EngineStats:
        """Memory, counts and load times at this moment; they begin anew with a restart."""
        async with self._using(None) as engine:
            return await engine.stats()

    async def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> tuple[int, ...]:
        """The token ids of ``text``."""
        async with self._using(TEXT) as engine:
            return await engine.tokenize(text, parse_special=parse_special, add_special=add_special)

    async def detokenize(self, tokens: tuple[int, ...]) -> bytes:
        """The bytes of ``tokens``."""
        async with self._using(None) as engine:
            return await engine.detokenize(tokens)

    async def embed(self, tokens: tuple[int, ...], selection: Selection) -> tuple[float, ...]:
        """The embedding of ``tokens``."""
        async with self._use(frozenset(selection.adapters)) as engine:
            embedding = await engine.embed(tokens, selection)
        self._note_answer(frozenset(selection.adapters))
        return embedding

    def events(self) -> AsyncIterator[EngineEvent]:
        """What happens to the engine itself, from now on."""
        return self._listeners.listen()

    async def close(self) -> None:
        """End the engine, also one that is just restarting. Safe to call twice."""
        self._end(EngineDiedError("the engine was closed"))
        self._listeners.end()
        for task in self._tasks:
            task.cancel()
        if self._engine:
            await self._engine.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- using the engine

    @asynccontextmanager
    async def _use(self, group: Group) -> AsyncIterator[RemoteEngine]:
        """The engine for a computation of ``group``; a suspect one has it for itself."""
        await self._ready()  # before the gate, where a crash that is being dealt with would not be known yet
        async with self._gate.passed(lambda: self._quarantine.is_suspect(group)), self._using(group) as engine:
            yield engine

    @asynccontextmanager
    async def _using(self, group: Group | None) -> AsyncIterator[RemoteEngine]:
        """The engine; ``group``, if there is one, may be to blame if it crashes meanwhile.

        Raises QuarantinedError, and EngineDiedError if it dies.
        """
        engine = await self._ready()
        self._quarantine.require_free(group or BASE_ALONE)
        self._inside[group] += 1
        try:
            yield engine
        except EngineDiedError as error:
            self._note_death(engine)
            self._quarantine.require_free(group or BASE_ALONE)
            raise self._gone or EngineDiedError(error.message, "It restarts by itself: ask again.") from None
        finally:
            self._inside[group] -= 1

    def _note(self, event: RequestEvent, group: Group) -> None:
        """Draw conclusions from ``event``. Raises the error of one that says that the engine died."""
        if isinstance(event, Failed) and isinstance(event.error, EngineDiedError):
            raise event.error
        if isinstance(event, Finished) and event.reason != "cancelled":
            self._note_answer(group)

    def _note_answer(self, group: Group) -> None:
        self._restarts.note_answer()
        self._quarantine.note_answer(group)

    def _words_for(self, sha256: str) -> str:
        file = self._files.get(sha256)
        return f"the adapter {file.name} ({file.path})" if file else f"the adapter {sha256[:12]}"

    # --- one engine after another

    async def _ready(self) -> RemoteEngine:
        """The engine, once there is one. Raises why there is none any more."""
        while not self._gone:
            if self._engine and not self._engine.died:
                return self._engine
            if self._engine:
                self._note_death(self._engine)
            await self._decided.wait()
        raise self._gone.with_traceback(None)

    def _note_death(self, engine: RemoteEngine) -> None:
        """``engine`` has died. Whoever sees it first calls this, so that all that used it are still known."""
        if engine is not self._engine or self._gone:
            return
        assert isinstance(engine.died, EngineDiedError)
        self._engine = None
        self._decided.clear()
        if engine.died.crashed:
            self._quarantine.note_crash([group for group in +self._inside if group is not None], engine.died)
        self._listeners.tell(EngineDied(engine.died, restarting=True))
        self._begin(self._restart(engine, engine.died))

    async def _restart(self, former: RemoteEngine, death: EngineDiedError) -> None:
        try:
            await former.close()
            self._quarantine.require_free(BASE_ALONE)
            await asyncio.sleep(self._restarts.pause_after(death))
            engine = await self._started()
            await self._require_same_base(engine)
        except Exception as error:
            self._listeners.tell(EngineDied(self._end(as_error(error))))
            return
        for sha256, status in self._statuses.items():
            engine.know(self._files[sha256], status, pinned=sha256 in self._pinned)
        self._adopt(engine)
        self._listeners.tell(EngineRestarted())

    async def _started(self) -> RemoteEngine:
        """A new engine. One that dies while it opens the base is tried once more."""
        try:
            return await self._start()
        except EngineDiedError as error:
            crashed = error.crashed
        try:
            return await self._start()
        except EngineDiedError as error:
            if crashed and error.crashed:
                raise base_refused(str(self._path), error) from None
            raise EngineDiedError(
                f"{self._path} could not be opened in two attempts: {error.message}",
                "Close other programs if memory is short, or choose a smaller base or --ctx.",
            ) from None

    async def _require_same_base(self, engine: RemoteEngine) -> None:
        """Raise EngineError, and end ``engine``, if it opened another base than the one before it."""
        if engine.base.fingerprint != self._base.fingerprint:
            await engine.close()
            raise EngineError(f"{self._path} has changed since it was opened", "Open it again to use the new file.")

    def _end(self, why: EdgeloraError) -> EdgeloraError:
        self._gone = why
        self._decided.set()
        return why

    def _adopt(self, engine: RemoteEngine) -> None:
        self._engine, self._base = engine, engine.base
        self._decided.set()
        self._begin(self._watch(engine, engine.events()))

    async def _watch(self, engine: RemoteEngine, events: AsyncIterator[EngineEvent]) -> None:
        async for event in events:
            if isinstance(event, EngineDied):
                self._note_death(engine)
            else:
                self._listeners.tell(event)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
