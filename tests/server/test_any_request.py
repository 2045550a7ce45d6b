"""Whatever is asked, the answer is an answer or one clear error: no 5xx, no traceback, and the server goes on.

scripts/test -m slow --minutes 5 tests/server/test_any_request.py
"""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, seed, settings

from edgelora.server.options import ServerOptions
from tests.server.any_request import anything, requests
from tests.server.serving import Http, local

ANY_FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
REFUSALS = (400, 403, 404, 405, 413)
Anything = tuple[str, str, dict[str, str], bytes]


@pytest.fixture(scope="module")
def options() -> ServerOptions:
    return local(dynamic_adapters=True)


def check(response: httpx2.Response) -> None:
    """It is an answer, or an error in the form that clients read."""
    if response.status_code != 200:
        assert response.status_code in REFUSALS, response.text
        if response.request.method != "HEAD":
            error = response.json()["error"]
            assert error["message"]
            assert error["code"]
    for never in ("Traceback", "internal error", "server_error"):
        assert never not in response.text


def ask(http: Http, path: str, body: Any) -> httpx2.Response:
    return http.client.post(path, content=json.dumps(body, allow_nan=True))


def send(http: Http, method: str, address: str, headers: dict[str, str], body: bytes) -> httpx2.Response:
    return http.client.request(method, address, headers=headers, content=body)


@settings(max_examples=15, suppress_health_check=ANY_FIXTURE)
@given(requests())
def test_any_request_gets_an_answer_or_an_error(http: Http, asked: tuple[str, Any]) -> None:
    check(ask(http, *asked))


@settings(max_examples=15, suppress_health_check=ANY_FIXTURE)
@given(anything())
def test_so_does_what_no_client_would_send(http: Http, sent: Anything) -> None:
    check(send(http, *sent))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_they_do_so_for_minutes(http: Http, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    statuses, over = Counter[int](), time.monotonic() + seconds

    def note(response: httpx2.Response) -> None:
        statuses[response.status_code] += 1
        check(response)

    for round_ in range(10**6):
        if time.monotonic() > over:
            break
        fuzz(http, round_, note)
    with capsys.disabled():
        print(dict(statuses))
    assert http.get("/health") == {"status": "ok"}


def fuzz(http: Http, round_: int, note: Any) -> None:
    """Hundreds of requests, others each round."""

    @seed(round_)
    @settings(max_examples=150, database=None, suppress_health_check=ANY_FIXTURE)
    @given(requests())
    def sensible(asked: tuple[str, Any]) -> None:
        note(ask(http, *asked))

    @seed(round_)
    @settings(max_examples=150, database=None, suppress_health_check=ANY_FIXTURE)
    @given(anything())
    def senseless(sent: Anything) -> None:
        note(send(http, *sent))

    sensible()
    senseless()
