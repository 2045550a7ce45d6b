"""A server for tests: real HTTP on a free port, in a thread of its own, with the engine in another."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from edgelora.server.options import ServerOptions
from edgelora.server.running import Server, serve
from edgelora.types import BaseInfo, EngineConfig, SamplingParams

Result = TypeVar("Result")
PATIENCE_S = 100.0
"""For what another process or a socket is waited for."""
NEVER_ENDS = {str(token): -100 for token in range(3)}
"""A `logit_bias` against the control tokens of the test bases, with which an answer becomes as long as it may."""
GREEDY = SamplingParams(temperature=0)


@contextmanager
def serving(config: EngineConfig, options: ServerOptions | None = None) -> Iterator[Server]:
    """A server that listens, until the end of the block."""
    listens, failures, servers = threading.Event(), list[BaseException](), list[Server]()

    def ready(server: Server) -> None:
        servers.append(server)
        listens.set()

    def run() -> None:
        try:
            asyncio.run(serve(config, options or local(), greedy, ready=ready, in_process=True))
        except BaseException as error:
            failures.append(error)
        finally:
            listens.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until(listens.is_set)
    if failures:
        raise failures[0]
    try:
        yield servers[0]
    finally:
        for _ in range(2):  # the second time it does not wait for answers that a test has left behind
            with suppress(RuntimeError):  # it has ended already
                servers[0].loop.call_soon_threadsafe(servers[0].end)
            with suppress(AssertionError):
                until(lambda: not thread.is_alive(), tries=4000)
        assert not thread.is_alive(), "the server did not end"


def local(**changes: Any) -> ServerOptions:
    return ServerOptions(**{"port": 0, "look_s": 0.05, **changes})


def greedy(base: BaseInfo, card: Mapping[str, float]) -> SamplingParams:
    return GREEDY


class Http:
    """A client for a server that gives documents. ``key`` is sent as the API key."""

    def __init__(self, url: str, key: str = "") -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.client = httpx2.Client(
            base_url=url, headers=headers, timeout=100, verify=False
        )  # it takes long to read certificates

    def get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(path, json=body).raise_for_status().json()

    def post_list(self, path: str, body: list[Any]) -> Any:
        return self.client.post(path, json=body).raise_for_status().json()

    def refused(self, path: str, body: Any = None, status: int = 400) -> dict[str, Any]:
        """The error of a request that is refused with ``status``."""
        response = self.client.post(path, json=body)
        assert response.status_code == status, response.text
        error: dict[str, Any] = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error

    def events(self, path: str, **body: Any) -> list[Any]:
        """The documents of a stream."""
        with self.client.stream("POST", path, json={**body, "stream": True}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
        return [json.loads(line) for line in lines if line != "[DONE]"]


def connected(server: Server, data: bytes, *, receive_buffer: int | None = None) -> socket.socket:
    """A connection on which ``data`` was sent."""
    where = urlsplit(server.address)
    connection = socket.socket()
    connection.settimeout(PATIENCE_S)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((where.hostname, where.port or 0))
    connection.sendall(data)
    return connection


def posted(server: Server, path: str, body: bytes) -> socket.socket:
    """A connection on which a request was sent."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return connected(server, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def settled(future: Future[Result]) -> Result:
    """What another thread has made."""
    until(future.done)
    return future.result()


def until(holds: Callable[[], object], *, tries: int = 6000) -> None:
    """Wait until something holds that another thread brings about.

    The patience is in tries and not in seconds, so that a process that was stopped for a while goes on as before.
    """
    pause = threading.Event()
    for _ in range(tries):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to hold")
