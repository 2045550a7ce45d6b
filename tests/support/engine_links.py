"""Engines without a process, for the logic around them: what each command leads to is a function of the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgelora.engine.messages import Cancel, Command, Evict, Happened, Load, Opened, Pin, Reply, Submit, Tokenize
from edgelora.engine.remote import RemoteEngine
from edgelora.engine.restarts import Restarts
from edgelora.engine.supervised import SupervisedEngine
from edgelora.errors import EngineDiedError
from edgelora.types import AdapterFile, AdapterStatus, BaseInfo, Event, Finished, Started, Token, ignore_progress

CRASH = EngineDiedError("the engine process ended unexpectedly (SIGSEGV)", crashed=True)
KILL = EngineDiedError("the engine process ended unexpectedly (SIGKILL)")

Outcome = Iterable[Reply | Event | EngineDiedError]
"""What a command leads to: an answer, events, and perhaps the death of the engine."""


def base_info(fingerprint: str = "f" * 64) -> BaseInfo:
    """What every fake engine has opened."""
    return BaseInfo(Path("base.gguf"), "Base", fingerprint, "llama", 1, "F32", 512, 512, 4096, None, {}, "pooled")


def adapter_file(name: str) -> AdapterFile:
    """An adapter of that name, which is its content hash, too."""
    return AdapterFile(name, Path(f"{name}.gguf"), name)


def status_of(file: AdapterFile) -> AdapterStatus:
    """The proof that it works."""
    return AdapterStatus(file.sha256, file.name, 8, 1000, (), 0.1, (), 1.0)


def answered(request: str, text: str = "yes") -> list[Event]:
    """All events of an answer."""
    return [Started(request, (), 1, 0), Token(request, text), Finished(request, "stop", (), 1, 0, 1, 1.0, 1.0)]


def obliging(command: Command) -> Outcome:
    """The outcome where nothing goes wrong."""
    match command:
        case Submit(request):
            return answered(request.id)
        case Cancel(request):
            return [Finished(request, "cancelled", (), 1, 0, 0, 0.0, 0.0)]
        case Load(call, adapter):
            return [Reply(call, status_of(adapter))]
        case Tokenize(call):
            return [Reply(call, (1, 2))]
        case Evict(call) | Pin(call):
            return [Reply(call)]
        case _:
            return []


@dataclass
class FakeLinks:
    """Starts fake engines. ``opening`` gives what each start leads to; an empty list opens the base."""

    outcome: Callable[[Command], Outcome] = obliging
    opening: list[EngineDiedError | BaseInfo] = field(default_factory=list)
    links: list[FakeLink] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    gate: asyncio.Event | None = None  # holds back every start while it is closed
    clock: Callable[[], float] = time.monotonic

    async def start(self) -> RemoteEngine:
        """A new engine, as the factory of a SupervisedEngine."""
        if self.gate:
            await self.gate.wait()
        first = self.opening.pop(0) if self.opening else base_info()
        if isinstance(first, EngineDiedError):
            raise first
        engine = RemoteEngine(ignore_progress)
        link = FakeLink(engine, self)
        self.links.append(link)
        engine.on_message(Opened(first))
        return await engine.open(link)

    async def supervised(self) -> SupervisedEngine:
        """An opened engine that waits for no pause, unless deaths come too often."""
        return await SupervisedEngine(Path("base.gguf"), self.start, _Hasty(self)).open()

    @property
    def latest(self) -> FakeLink:
        """The way to the engine started last."""
        return self.links[-1]


@dataclass
class FakeLink:
    """Answers commands, one event loop turn later, as long as its engine lives."""

    engine: RemoteEngine
    world: FakeLinks
    commands: list[Command] = field(default_factory=list)

    def send(self, command: Command) -> None:
        self.commands.append(command)
        asyncio.get_running_loop().call_soon(self._answer, command)

    def kill(self) -> None:
        """Nothing to end."""

    async def wait_closed(self) -> None:
        """Nothing to wait for."""

    def die(self, error: EngineDiedError) -> None:
        """The engine is gone."""
        self.engine.on_lost(error)

    def _answer(self, command: Command) -> None:
        for message in () if self.engine.died else self.world.outcome(command):
            if isinstance(message, EngineDiedError):
                self.die(message)
                return
            self.engine.on_message(message if isinstance(message, Reply) else Happened((message,)))


class _Hasty(Restarts):
    """Notes the pauses instead of making them."""

    def __init__(self, world: FakeLinks) -> None:
        super().__init__(world.clock)
        self._world = world

    def pause_after(self, death: EngineDiedError) -> float:  # type: ignore[override]
        self._world.pauses.append(super().pause_after(death))
        return 0.0
