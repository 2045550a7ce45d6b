"""Clients that leave, that are slow, that are too many or send too much; and the end of a server."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from starlette.requests import Request
from support.engines import exact_config

from edgelora.server.bodies import read_json
from edgelora.server.errors import ApiError
from edgelora.server.running import Server
from tests.server.serving import NEVER_ENDS, PATIENCE_S, Http, connected, local, posted, serving, settled, until

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Message

    from edgelora.types import AdapterFile

LONG: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 8000, "logit_bias": NEVER_ENDS}
SHORT: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 4}


@pytest.fixture(scope="module")
def server(f32_base: Path, strong: dict[str, AdapterFile]) -> Iterator[Server]:
    """Two answers at a time, two more may wait; small limits."""
    config = replace(exact_config(f32_base), ctx=8192, max_sequences=2, max_waiting=2)
    with serving(config, local(body_bytes=20_000)) as server:
        yield server


def idle(server: Server) -> bool:
    return not server.host.running


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_is_cancelled(server: Server, http: Http, stream: bool) -> None:
    body = json.dumps({**LONG, "model": "first", "stream": stream}).encode()
    until(lambda: left_in_the_middle(server, body))
    until(lambda: ended(http))
    assert http.post("/v1/completions", model="first", **SHORT)["usage"]["completion_tokens"] == 4


def test_a_client_that_leaves_its_embeddings_is_cancelled(server: Server, http: Http) -> None:
    body = json.dumps({"input": ["so it goes " * 80] * 20, "model": "first"}).encode()

    def left() -> bool:
        before = server.host.metrics.requests["first", "cancelled"]
        with posted(server, "/v1/embeddings", body):
            until(lambda: server.host.running)
        until(lambda: idle(server))
        return server.host.metrics.requests["first", "cancelled"] == before + 1

    until(left)
    assert http.post("/v1/embeddings", model="first", input="so it goes")["data"]


def left_in_the_middle(server: Server, body: bytes) -> bool:
    """Ask and leave while the answer is being made. False where it was quicker."""
    before = server.host.metrics.requests["first", "cancelled"]
    with posted(server, "/v1/completions", body):
        until(lambda: any(one.pieces for one in server.host.running.values()))
    until(lambda: idle(server))
    return server.host.metrics.requests["first", "cancelled"] == before + 1


def ended(http: Http) -> bool:
    """Whether the engine computes nothing any more, and nobody has an adapter."""
    counted = http.client.get("/metrics").text
    return "\nedgelora_requests_running 0\n" in counted and "\nedgelora_adapters_acquired 0\n" in counted


@pytest.mark.parametrize("path", ["/v1/completions", "/completion"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_at_any_moment_leaves_nothing_behind(
    server: Server, http: Http, stream: bool, path: str
) -> None:
    body = {name: value for name, value in LONG.items() if name != "max_tokens"} | {"model": "first", "stream": stream}
    body["n_predict" if path == "/completion" else "max_tokens"] = 8000
    for patience in range(12):
        asked = ask_and_leave(server, path, json.dumps(body), patience)
        settled(asyncio.run_coroutine_threadsafe(asked, server.loop))
    assert idle(server)
    until(lambda: ended(http))


async def ask_and_leave(server: Server, path: str, body: str, patience: int) -> None:
    """Ask the app directly, and be gone after so many turns of its loop."""
    messages: list[Message] = [{"type": "http.request", "body": body.encode(), "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        for _ in range(patience):
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await asyncio.sleep(0)

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    await server.config.app(scope, receive, send)  # type: ignore[operator, arg-type]


def test_a_client_that_leaves_while_it_waits_is_forgotten(server: Server, http: Http) -> None:
    body = json.dumps({**LONG, "model": "first"}).encode()
    three = [posted(server, "/v1/completions", body) for _ in range(3)]
    until(lambda: len(server.host.running) == 3)
    until(lambda: "\nedgelora_adapters_acquired 2\n" in http.client.get("/metrics").text)
    for one in reversed(three):
        one.close()
    until(lambda: idle(server))
    assert http.post("/v1/completions", model="second", **SHORT)["choices"]


def test_a_full_queue_is_429_and_says_when_to_come_again(server: Server, http: Http) -> None:
    body = json.dumps(LONG).encode()
    four = [posted(server, "/v1/completions", body) for _ in range(4)]
    until(lambda: len(server.host.running) == 4)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(http.client.post, "/v1/completions", json=SHORT) for _ in range(4)]
        refused = [settled(one) for one in asked]
    for one in four:
        one.close()
    full = [response for response in refused if response.status_code == 429]
    assert full
    assert full[0].json()["error"]["code"] == "queue_full"
    assert int(full[0].headers["retry-after"]) >= 1
    until(lambda: idle(server))
    assert http.post("/v1/completions", **SHORT)["choices"]


def test_a_reader_that_does_not_read_stalls_nobody(server: Server, http: Http) -> None:
    body = json.dumps({**LONG, "stream": True}).encode()
    with posted(server, "/v1/completions", body) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        until(lambda: server.host.running)
        for _ in range(3):
            assert http.post("/v1/completions", model="first", **SHORT)["choices"]
    until(lambda: idle(server))


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(
    server: Server, http: Http, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    for _ in range(5):
        connected(server, head + b'{"prompt"').close()
    assert http.post("/v1/completions", **SHORT)["choices"]
    assert not caplog.records


def test_too_large_a_body_is_413(server: Server, http: Http) -> None:
    http.refused("/v1/completions", {"prompt": "x" * 30_000}, 413)
    chunked = httpx2.post(f"{server.address}/v1/completions", content=iter([b"x" * 10_000] * 4), timeout=PATIENCE_S)
    assert chunked.status_code == 413


async def test_a_body_that_does_not_come_is_408() -> None:
    async def never() -> Message:
        return await asyncio.Future()

    request = Request({"type": "http", "method": "POST", "headers": []}, never)
    with pytest.raises(ApiError) as caught:
        await read_json(request, local(body_s=0.01))
    assert caught.value.status == 408


def test_an_answer_that_takes_too_long_is_408(f32_base: Path, strong: dict[str, AdapterFile]) -> None:
    with serving(replace(exact_config(f32_base), ctx=8192), local(answer_s=0.1)) as server:
        http = Http(server.address)
        for path, body in (
            ("/v1/completions", {**LONG, "model": "first"}),
            ("/v1/embeddings", {"input": ["so it goes " * 300] * 20}),
        ):
            assert http.refused(path, body, 408)["code"] == "timeout"
        http.client.close()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'"\\ud800"', b"[" * 15_000, b'{"model": NaN}', b"null"])
def test_what_is_no_request_is_400(http: Http, body: bytes) -> None:
    for path in ("/v1/chat/completions", "/completion", "/tokenize", "/lora-adapters"):
        response = http.client.post(path, content=body)
        if body != b"[]" or path != "/lora-adapters":
            assert response.status_code == 400, (path, response.text)
            assert response.json()["error"]["message"]


def test_a_server_that_is_told_to_end_lets_answers_finish(f32_base: Path, strong: dict[str, AdapterFile]) -> None:
    with serving(replace(exact_config(f32_base), ctx=512)) as server, ThreadPoolExecutor(1) as pool:
        with httpx2.Client(base_url=server.address, timeout=100) as client:
            answer = pool.submit(client.post, "/v1/completions", json={**LONG, "max_tokens": 150, "model": "first"})
            until(lambda: server.host.running)
            server.loop.call_soon_threadsafe(server.end)
            made = settled(answer).json()
        assert made["usage"]["completion_tokens"] == 150
        assert made["edgelora"]["selection"] == "first"
        until(lambda: server.loop.is_closed())
        assert not server.force_exit


def test_a_second_time_it_ends_at_once(f32_base: Path, strong: dict[str, AdapterFile]) -> None:
    with serving(replace(exact_config(f32_base), ctx=512)) as server:
        with posted(server, "/v1/completions", json.dumps({**LONG, "stream": True}).encode()) as connection:
            assert connection.recv(1)
            for _ in range(2):
                server.loop.call_soon_threadsafe(server.end)
            until(lambda: server.loop.is_closed())
        assert server.force_exit
