"""Whatever is asked, the answer is an answer or one clear error: no 5xx, no traceback, and the server goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelora.server.options import ServerOptions
from tests.server.serving import Http, local

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = [
    "model",
    "prompt",
    "messages",
    "lora",
    "max_tokens",
    "n_predict",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "n",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "response_format",
    "json_schema",
    "tools",
    "echo",
    "presence_penalty",
    "frequency_penalty",
    "repeat_penalty",
    "n_probs",
    "content",
    "tokens",
    "grammar",
    "user",
    "lora_name",
    "lora_path",
    "id",
    "scale",
    "max_completion_tokens",
    "tool_choice",
    "suffix",
    "best_of",
]
MODELS = st.sampled_from(
    ["base", "first", "first:0.5+second", "first#base", "nobody", "auto", "+", "a:b", "../x.gguf", ""]
)
SCHEMAS = st.recursive(
    st.sampled_from(
        [{}, True, {"type": "string"}, {"type": "integer"}, {"enum": ["a", 1]}, {"$ref": "#"}, {"const": "\n"}]
    ),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner, "minItems": st.integers(0, 3)})
        | st.fixed_dictionaries({"properties": st.dictionaries(st.text(max_size=5), inner, max_size=3)})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, max_size=3)})
    ),
    max_leaves=5,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "x"]), "content": st.text(max_size=30) | ANY}
)
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "model": MODELS,
    "prompt": st.text(max_size=30) | st.lists(st.integers(0, 5000), max_size=5),
    "messages": st.lists(MESSAGE, max_size=4),
    "max_tokens": st.integers(0, 6),
    "n_predict": st.integers(-1, 6),
    "n": st.integers(1, 3),
    "temperature": st.floats(0, 3),
    "top_p": st.floats(0, 1),
    "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=3),
    "stream": st.booleans(),
    "logprobs": st.integers(0, 5) | st.booleans(),
    "logit_bias": st.dictionaries(st.integers(0, 5000).map(str), st.floats(-100, 100), max_size=3),
    "json_schema": SCHEMAS,
    "response_format": SCHEMAS.map(
        lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    ),
    "lora": st.lists(st.fixed_dictionaries({"id": st.integers(0, 6), "scale": st.floats(-2, 2)}), max_size=3),
}
SENSIBLE = {
    "prompt": "Once",
    "messages": [{"role": "user", "content": "Hello."}],
    "content": "x",
    "tokens": [5],
    "input": "x",
}
PATHS = {
    "/v1/chat/completions": ("messages",),
    "/v1/completions": ("prompt",),
    "/completion": ("prompt",),
    "/tokenize": ("content",),
    "/detokenize": ("tokens",),
    "/lora-adapters": (),
    "/v1/load_lora_adapter": (),
    "/v1/embeddings": ("input",),
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Any]:
    path = draw(st.sampled_from(sorted(PATHS)))
    body = {name: SENSIBLE[name] for name in PATHS[path]}
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=4)):
        body[name] = draw(KNOWN.get(name, ANY) | ANY)
    body.setdefault("max_tokens", 4)
    if path == "/completion":
        body.setdefault("n_predict", body.pop("max_tokens"))
    elif "prompt" not in PATHS[path] and "messages" not in PATHS[path]:
        body.pop("max_tokens")
    return path, draw(st.just(body) | st.just(body) | st.just(body) | ANY)


@pytest.fixture(scope="module")
def options() -> ServerOptions:
    return local(dynamic_adapters=True)


def check(http: Http, path: str, body: Any) -> None:
    response = http.client.post(path, content=json.dumps(body, allow_nan=True))
    if response.status_code != 200:
        assert response.status_code in (400, 404, 413), response.text
        error = response.json()["error"]
        assert error["message"]
        assert error["code"]
    assert "Traceback" not in response.text
    assert "internal error" not in response.text


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests())
def test_any_request_gets_an_answer_or_an_error(http: Http, asked: tuple[str, Any]) -> None:
    check(http, *asked)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=1500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests())
def test_thousands_of_requests_do_so_too(http: Http, asked: tuple[str, Any]) -> None:
    check(http, *asked)
