"""llama-server's dialect: the cases of its own tests/unit/test_lora.py, and what programs that watch it ask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.serving import Http

if TYPE_CHECKING:
    from edgelora.server.running import Server
    from edgelora.types import AdapterFile

ASK: dict[str, Any] = {"prompt": "Once upon a time", "n_predict": 10}


@pytest.fixture
def ids(http: Http, strong: dict[str, AdapterFile]) -> dict[str, int]:
    return {one["name"]: one["id"] for one in http.get("/lora-adapters")}


def text(http: Http, *scales: tuple[int, float]) -> str:
    lora = [{"id": number, "scale": scale} for number, scale in scales]
    content: str = http.post("/completion", **ASK, lora=lora)["content"]
    return content


def test_scales_for_all_requests(http: Http, ids: dict[str, int]) -> None:
    base = http.post("/completion", **ASK)["content"]
    assert http.post_list("/lora-adapters", [{"id": ids["first"], "scale": 0.0}]) == {"success": True}
    assert http.post("/completion", **ASK)["content"] == base
    http.post_list("/lora-adapters", [{"id": ids["first"], "scale": 1.0}])
    assert {one["name"]: one["scale"] for one in http.get("/lora-adapters") if one["scale"]} == {"first": 1.0}
    adapted = http.post("/completion", **ASK)
    assert adapted["content"] == text(http, (ids["first"], 1.0)) != base
    assert [one["name"] for one in adapted["edgelora"]["adapters"]] == ["first"]
    assert http.post("/completion", **ASK, model="base")["content"] == base
    http.post_list("/lora-adapters", [])
    assert http.post("/completion", **ASK)["content"] == base


def test_scales_for_one_request_side_by_side(http: Http, ids: dict[str, int]) -> None:
    first, second = ids["first"], ids["second"]
    asked = [[], [(first, 0.0)], [(first, 0.3)], [(first, 0.7)], [(first, 1.0)], [(first, 0.5), (second, -0.5)]]
    alone = [text(http, *scales) for scales in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda scales: text(http, *scales), asked))
    assert together == alone
    assert alone[0] == alone[1]
    assert len(set(alone)) == 5


def test_a_stream_ends_with_what_made_it(http: Http, ids: dict[str, int]) -> None:
    *pieces, last = http.events("/completion", **ASK, lora=[{"id": ids["second"], "scale": 0.5}])
    assert not any(piece["stop"] for piece in pieces)
    assert "".join(piece["content"] for piece in pieces) == text(http, (ids["second"], 0.5))
    assert last["stop"]
    assert last["stop_type"] == ("limit" if last["tokens_predicted"] == 10 else "eos")
    assert last["generation_settings"]["lora"] == [{"name": "second", "scale": 0.5}]


def test_the_same_answers_in_every_dialect(http: Http, ids: dict[str, int]) -> None:
    native = text(http, (ids["first"], 0.5))
    ask = {"prompt": ASK["prompt"], "max_tokens": 10}
    assert http.post("/v1/completions", model="first:0.5", **ask)["choices"][0]["text"] == native
    assert (
        http.post("/v1/completions", lora=[{"id": ids["first"], "scale": 0.5}], **ask)["choices"][0]["text"] == native
    )


def test_probabilities_and_schemas(http: Http) -> None:
    told = http.post("/completion", **ASK, n_probs=3)
    assert "".join(one["token"] for one in told["completion_probabilities"]) == told["content"]
    assert all(len(one["top_logprobs"]) == 3 for one in told["completion_probabilities"])
    assert http.post("/completion", **ASK, json_schema={"enum": ["yes", "no"]})["content"] in ('"yes"', '"no"')


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/lora-adapters", [{"id": 999, "scale": 1}], 404),
        ("/lora-adapters", {"id": 0}, 400),
        ("/lora-adapters", [{"id": 0, "scale": "x"}], 400),
        ("/completion", {**ASK, "lora": [{"id": 999}]}, 404),
        ("/completion", {**ASK, "lora": [{"id": 0, "scale": 99}]}, 400),
        ("/completion", {**ASK, "mirostat": 2}, 400),
        ("/completion", {**ASK, "grammar": "root ::= [a]"}, 400),
        ("/completion", {"prompt": ""}, 400),
        ("/completion", {**ASK, "json_schema": {"not": {}}}, 400),
        ("/completion", {**ASK, "json_schema": False}, 400),
        ("/completion", {"prompt": [1, 10**7]}, 400),
        ("/tokenize", {}, 400),
        ("/detokenize", {"tokens": [-1]}, 400),
        ("/nowhere", {}, 404),
        ("/health", {}, 405),
        ("/v1/embeddings", {"input": ""}, 400),
        ("/v1/embeddings", {"input": []}, 400),
        ("/v1/embeddings", {"input": "x", "dimensions": 3}, 400),
        ("/v1/embeddings", {"input": "x " * 2000}, 400),
        ("/v1/embeddings", {"input": "x", "model": "nobody"}, 404),
        ("/v1/load_lora_adapter", {}, 404),
    ],
)
def test_what_is_refused(http: Http, path: str, body: Any, status: int) -> None:
    http.refused(path, body, status)


def test_what_programs_that_watch_it_ask(http: Http, server: Server) -> None:
    http.post("/completion", **ASK, model="first")
    assert http.get("/health") == {"status": "ok"}
    props = http.get("/props")
    assert props["default_generation_settings"]["n_ctx"] == 512
    assert props["default_generation_settings"]["params"]["temperature"] == 0
    assert http.get("/slots") == []
    response = http.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert int(samples['edgelora_requests_total{adapter="first",reason="length"}']) >= 1
    assert int(samples['edgelora_completion_tokens_total{adapter="first"}']) >= 10
    assert int(samples['edgelora_cold_loads_total{adapter="first"}']) == 1
    assert (
        samples['edgelora_time_to_first_token_seconds_bucket{adapter="first",le="+Inf"}']
        == (samples['edgelora_time_to_first_token_seconds_count{adapter="first"}'])
    )
    assert samples["edgelora_requests_running"] == samples["edgelora_requests_waiting"] == "0"


def test_tokens_there_and_back(http: Http) -> None:
    tokens = http.post("/tokenize", content="Zwölf 木", with_pieces=True)["tokens"]
    assert [one["id"] for one in tokens] == http.post("/tokenize", content="Zwölf 木")["tokens"]
    assert http.post("/detokenize", tokens=[one["id"] for one in tokens])["content"] == "Zwölf 木"
