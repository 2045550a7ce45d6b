"""Connections on which nothing happens: readers that do not read, heads that do not come, too many at once."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.engines import exact_config

from edgelora.server.connections import Connection
from tests.server.serving import NEVER_ENDS, connected, local, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgelora.server.running import Server
    from edgelora.types import AdapterFile

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
LONG = {
    "prompt": "Once upon a time",
    "max_tokens": 8000,
    "logit_bias": NEVER_ENDS,
    "logprobs": 20,
    "model": "first",
    "stream": True,
}


@pytest.fixture
def server(f32_base: Path, strong: dict[str, AdapterFile], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One that soon has enough of who does nothing."""
    monkeypatch.setattr(Connection, "look_s", 0.2)
    with serving(replace(exact_config(f32_base), ctx=8192), local(stall_s=0.2)) as server:
        yield server


def status(server: Server) -> bytes:
    """The first line of an answer on a connection of its own."""
    with connected(server, HEALTH + b"Connection: close\r\n\r\n") as connection:
        return connection.makefile("rb").readline()


def ended(connection: socket.socket) -> bool:
    """Whether the other side has said that no more comes."""
    with suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


@pytest.mark.slow
def test_who_never_reads_has_left(server: Server) -> None:
    body = json.dumps(LONG).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with connected(server, head + body, receive_buffer=1024):
        until(lambda: server.host.metrics.requests["first", "cancelled"])
        until(lambda: not server.server_state.connections)
        assert status(server).startswith(b"HTTP/1.1 200")
        server.loop.call_soon_threadsafe(server.end)
        until(lambda: server.loop.is_closed())
    assert not server.force_exit


def test_a_connection_that_brings_no_request_is_closed(server: Server) -> None:
    for begin in (b"", HEALTH):
        with connected(server, begin) as connection:
            assert ended(connection)


def test_so_is_one_whose_request_trickles_in(server: Server) -> None:
    with connected(server, HEALTH) as connection, suppress(ConnectionError):
        until(lambda: not connection.send(b"x"))


def test_too_many_are_told_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "look_s", 600)
    assert server.config.limit_concurrency
    monkeypatch.setattr(server.config, "limit_concurrency", 3)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(server, b""))
        until(lambda: len(server.server_state.connections) == 3)
        assert status(server).startswith(b"HTTP/1.1 503")
    until(lambda: status(server).startswith(b"HTTP/1.1 200"))
