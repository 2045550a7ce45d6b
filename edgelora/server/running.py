"""A server from its start to its end: SIGTERM or Ctrl-C lets answers finish, a second one stops at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from edgelora.adapters.library import AdapterLibrary
from edgelora.engine.client import open_engine
from edgelora.errors import UsageError
from edgelora.server.app import make_app
from edgelora.server.baking import Bakery
from edgelora.server.connections import KEEP_ALIVE_S, MOST_CONNECTIONS, Connection
from edgelora.server.host import Host
from edgelora.server.tenants import Tenants
from edgelora.types import ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edgelora.server.options import ServerOptions
    from edgelora.types import BaseInfo, EngineConfig, ReportProgress, SamplingParams

_ENDING = (signal.SIGTERM, signal.SIGINT)
log = logging.getLogger("edgelora.server")


async def serve(
    config: EngineConfig,
    options: ServerOptions,
    sampling: Callable[[BaseInfo, Mapping[str, float]], SamplingParams],
    *,
    ready: Callable[[Server], None],
    report: ReportProgress = ignore_progress,
    in_process: bool = False,
) -> bool:
    """Serve until told to end; ``ready`` is called when it listens. ``sampling`` gives the defaults on a base under an
    adapter's card. Gives False where answers were cut off.

    Raises UsageError where the address cannot be used, and what opening the base, tenants or adapters raises.
    """
    options.require_safe()
    tenants = Tenants(options.keys, options.tenants)
    with bound(options) as listening:
        library = await asyncio.to_thread(AdapterLibrary, config.base)
        engine = await open_engine(config, in_process=in_process, report=report)
        try:
            bakery = Bakery(config, options.bake_precision, in_process=in_process)
            host = Host(engine, library, partial(sampling, engine.base), options, tenants, bakery)
            for text in options.bake:
                await host.catalogue.resolve(text)  # a name that nobody has is an error now
            if options.default != "base":
                await host.ensure_loaded((await host.catalogue.resolve(options.default)).files)
            server = Server(host, address(options, listening))
            host.start()
            ready(server)
            try:
                await server.serve([listening])
            finally:
                await host.stop()
            return not server.force_exit
        finally:
            await engine.close()


class Server(uvicorn.Server):
    """uvicorn's, which knows of draining: requests that come meanwhile are refused with 503. ``address`` is its URL."""

    def __init__(self, host: Host, address: str) -> None:
        config = uvicorn.Config(
            make_app(host),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            http=Connection,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(host.options.answer_s + host.options.stall_s),
        )
        super().__init__(config)
        self.host, self.address = host, address
        self.loop = asyncio.get_running_loop()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the loop's business here, and end nothing but the serving."""
        loop = asyncio.get_running_loop()
        caught = []
        for number in _ENDING:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
                loop.add_signal_handler(number, self.end)
                caught.append(number)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)

    def end(self) -> None:
        """Let answers finish; the second time, do not."""
        if self.should_exit:
            self.force_exit = True
            return
        log.info("ending; answers under way: %d", len(self.host.running))
        self.should_exit = True
        self.host.drain()


@contextlib.contextmanager
def bound(options: ServerOptions) -> Iterator[socket.socket]:
    """A socket on the address of ``options``, taken before the base is opened. Raises UsageError."""
    try:
        kind, *_, place = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(place[:2], family=kind, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot listen on {options.host}:{options.port}: {reason}", "Choose another --port."
        ) from None
    with listening:
        yield listening


def address(options: ServerOptions, listening: socket.socket) -> str:
    """The URL that clients use."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{listening.getsockname()[1]}"
