"""An engine in a thread of this process: for tests. A native crash would take the process with it."""

from __future__ import annotations

import asyncio
import queue
import threading

from edgelora.engine.failures import as_error
from edgelora.engine.messages import Command, Message
from edgelora.engine.remote import RemoteEngine
from edgelora.engine.service import serve
from edgelora.types import EngineConfig, ReportProgress

Commands = queue.SimpleQueue[Command]


async def start_in_thread(config: EngineConfig, report: ReportProgress) -> RemoteEngine:
    """Open the base of ``config`` in a new thread. Raises what the engine failed with."""
    engine = RemoteEngine(report)
    return await engine.open(_ThreadLink(config, engine))


class _ThreadLink:
    """The client's end."""

    def __init__(self, config: EngineConfig, engine: RemoteEngine) -> None:
        self._commands: Commands = queue.SimpleQueue()
        mailbox = _ThreadMailbox(self._commands, engine, asyncio.get_running_loop())
        self._thread = threading.Thread(target=mailbox.serve, args=(config,), name="edgelora-engine", daemon=True)
        self._thread.start()

    def send(self, command: Command) -> None:
        self._commands.put(command)

    def kill(self) -> None:
        """A thread cannot be ended from outside."""

    async def wait_closed(self) -> None:
        await asyncio.to_thread(self._thread.join)


class _ThreadMailbox:
    """The engine's end."""

    def __init__(self, commands: Commands, engine: RemoteEngine, loop: asyncio.AbstractEventLoop) -> None:
        self._commands, self._engine, self._loop = commands, engine, loop

    def serve(self, config: EngineConfig) -> None:
        try:
            serve(config, self)
        except Exception as error:
            self._loop.call_soon_threadsafe(self._engine.on_lost, as_error(error))

    def receive(self, *, wait: bool) -> Command | None:
        try:
            return self._commands.get(block=wait)
        except queue.Empty:
            return None

    def send(self, message: Message) -> None:
        self._loop.call_soon_threadsafe(self._engine.on_message, message)
