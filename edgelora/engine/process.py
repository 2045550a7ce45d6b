"""An engine in a process of its own: the client's end of the pipe, and the engine's."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

from edgelora.engine.isolated import IsolatedProcess
from edgelora.engine.messages import Close, Command, Message
from edgelora.engine.remote import RemoteEngine
from edgelora.types import EngineConfig, ReportProgress

CLOSE_TIMEOUT = 5.0
"""Seconds that the process gets to end its step and free its memory before it is killed."""


async def start_process(config: EngineConfig, report: ReportProgress) -> RemoteEngine:
    """Open the base of ``config`` in a new process. Raises what the engine failed with."""
    engine = RemoteEngine(report)
    return await engine.open(_ProcessLink(config, engine))


class _ProcessLink:
    """The client's end: a thread that reads, and one that writes so that a busy engine never blocks the event loop."""

    def __init__(self, config: EngineConfig, engine: RemoteEngine) -> None:
        self._engine, self._loop = engine, asyncio.get_running_loop()
        self._isolated = IsolatedProcess("engine", _serve, config)
        self._connection, self._process = self._isolated.connection, self._isolated.process
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="edgelora-commands")
        self._reader = threading.Thread(target=self._read, name="edgelora-events", daemon=True)
        self._reader.start()

    def send(self, command: Command) -> None:
        self._writer.submit(self._write, ForkingPickler.dumps(command))  # here, where an error has a caller

    def kill(self) -> None:
        self._process.kill()

    async def wait_closed(self) -> None:
        await asyncio.to_thread(self._join)

    def _write(self, command: memoryview) -> None:
        with contextlib.suppress(OSError):  # the engine is gone; the reader says so
            self._connection.send_bytes(command)

    def _read(self) -> None:
        try:
            while True:
                self._post(self._engine.on_message, self._connection.recv())
                self._isolated.trim_log()
        except Exception:  # the end of the pipe, or bytes that are no message
            if self._process.is_alive():
                self._process.join(CLOSE_TIMEOUT)
            self._post(self._engine.on_lost, self._isolated.why_it_ended())

    def _post(self, method: object, argument: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended before us
            self._loop.call_soon_threadsafe(method, argument)  # type: ignore[arg-type]

    def _join(self) -> None:
        self._process.join(CLOSE_TIMEOUT)
        self._isolated.kill()
        self._reader.join()
        self._writer.shutdown()
        self._isolated.close()


# --- in the new process


def _serve(connection: Connection, config: EngineConfig) -> None:
    from edgelora.engine.service import serve

    serve(config, _PipeMailbox(connection))


class _PipeMailbox:
    """The engine's end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def receive(self, *, wait: bool) -> Command | None:
        try:
            if not self._connection.poll(None if wait else 0):
                return None
            command: Command = self._connection.recv()
            return command
        except (EOFError, OSError):  # the client is gone
            return Close()

    def send(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # the client is gone; the next receive says so
            self._connection.send(message)
