"""One client's adapter never reaches another's answer, whatever is kept from the one before, and in every dialect."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.engines import exact_config

from tests.server.serving import Http, serving

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.types import AdapterFile, EngineConfig

PROMPT = "Tell me about the sea."
ORDER = ["first", "base", "second", "first", "first:0.5+second:0.25", "base", "first:0.5+second:0.25", "second"]


def chat(http: Http, model: str) -> str:
    messages = [{"role": "user", "content": PROMPT}]
    body = http.post("/v1/chat/completions", model=model, messages=messages, max_tokens=10)
    text: str = body["choices"][0]["message"]["content"]
    return text


def chat_stream(http: Http, model: str) -> str:
    messages = [{"role": "user", "content": PROMPT}]
    events = http.events("/v1/chat/completions", model=model, messages=messages, max_tokens=10)
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events)


def complete(http: Http, model: str) -> str:
    text: str = http.post("/v1/completions", model=model, prompt=PROMPT, max_tokens=10)["choices"][0]["text"]
    return text


def complete_stream(http: Http, model: str) -> str:
    events = http.events("/v1/completions", model=model, prompt=PROMPT, max_tokens=10)
    return "".join(event["choices"][0]["text"] for event in events)


def by_numbers(http: Http, model: str) -> list[dict[str, float]]:
    """``model`` as llama-server's ``lora``."""
    numbers = {one["name"]: one["id"] for one in http.get("/lora-adapters")}
    members = [member.partition(":") for member in model.split("+") if model != "base"]
    return [{"id": numbers[name], "scale": float(scale or 1)} for name, _, scale in members]


def chat_by_numbers(http: Http, model: str) -> str:
    messages = [{"role": "user", "content": PROMPT}]
    body = http.post("/v1/chat/completions", lora=by_numbers(http, model), messages=messages, max_tokens=10)
    text: str = body["choices"][0]["message"]["content"]
    return text


def llama(http: Http, model: str) -> str:
    text: str = http.post("/completion", lora=by_numbers(http, model), prompt=PROMPT, n_predict=10)["content"]
    return text


def llama_stream(http: Http, model: str) -> str:
    events = http.events("/completion", model=model, prompt=PROMPT, n_predict=10)
    return "".join(event["content"] for event in events)


def embedding(http: Http, model: str) -> str:
    vector = http.post("/v1/embeddings", model=model, input=PROMPT)["data"][0]["embedding"]
    return str([round(value, 4) for value in vector])


ALSO = (chat_stream, complete, complete_stream, chat_by_numbers, llama_stream, embedding)
DIALECTS = (chat, llama, *ALSO)


def exact(base: Path) -> EngineConfig:
    return replace(exact_config(base), ctx=512)


@pytest.mark.parametrize("ask", [chat, llama, *(pytest.param(ask, marks=pytest.mark.slow) for ask in ALSO)])
def test_any_order_gives_what_cold_servers_give(
    http: Http, f32_base: Path, strong: dict[str, AdapterFile], ask: Any, cold: dict[tuple[str, str], str]
) -> None:
    assert [ask(http, model) for model in ORDER] == [cold[ask.__name__, model] for model in ORDER]


def test_many_connections_at_once_do_so_too(http: Http, cold: dict[tuple[str, str], str]) -> None:
    jobs = [(ask, model) for model in ORDER for ask in DIALECTS]
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda job: job[0](http, job[1]), jobs))
    assert texts == [cold[ask.__name__, model] for ask, model in jobs]


@pytest.fixture(scope="module")
def cold(f32_base: Path, strong: dict[str, AdapterFile]) -> dict[tuple[str, str], str]:
    """What a server that has answered nothing before says, by dialect and model."""
    answers = {}
    for model in sorted(set(ORDER)):
        with serving(exact(f32_base)) as server:
            http = Http(server.address)
            in_chat, as_text = chat(http, model), complete(http, model)
            for ask in DIALECTS:
                answers[ask.__name__, model] = in_chat if ask.__name__.startswith("chat") else as_text
            answers["embedding", model] = embedding(http, model)
            http.client.close()
    assert len(set(answers.values())) == 3 * len(set(ORDER))
    return answers
