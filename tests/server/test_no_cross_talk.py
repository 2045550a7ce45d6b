"""One client's adapter never reaches another's answer, whatever is kept from the one before, and in every dialect."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.engines import exact_config

from edgelora.cli import answer as cli_answer
from edgelora.cli.boundary import guarded
from edgelora.cli.root import root
from edgelora.engine.client import open_engine
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


def llama(http: Http, model: str) -> str:
    numbers = {one["name"]: one["id"] for one in http.get("/lora-adapters")}
    members = [member.partition(":") for member in model.split("+") if model != "base"]
    lora = [{"id": numbers[name], "scale": float(scale or 1)} for name, _, scale in members]
    text: str = http.post("/completion", lora=lora, prompt=PROMPT, n_predict=10)["content"]
    return text


def exact(base: Path) -> EngineConfig:
    return replace(exact_config(base), ctx=512)


@pytest.mark.parametrize(
    "ask", [chat, llama, *(pytest.param(ask, marks=pytest.mark.slow) for ask in (chat_stream, complete))]
)
def test_any_order_gives_what_cold_servers_give(
    http: Http, f32_base: Path, strong: dict[str, AdapterFile], ask: Any, cold: dict[tuple[str, str], str]
) -> None:
    assert [ask(http, model) for model in ORDER] == [cold[ask.__name__, model] for model in ORDER]


def test_many_connections_at_once_do_so_too(http: Http, cold: dict[tuple[str, str], str]) -> None:
    jobs = [(ask, model) for model in ORDER for ask in (chat, complete, chat_stream, llama)]
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
            answers["chat", model] = answers["chat_stream", model] = chat(http, model)
            answers["complete", model] = answers["llama", model] = complete(http, model)
            http.client.close()
    assert len(set(answers.values())) == 2 * len(set(ORDER))
    return answers


@pytest.mark.parametrize("model", ["base", "legal", "legal:0.5+second:-0.25"])
def test_an_answer_is_that_of_edgelora_run(
    http: Http, f32_base: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], model: str
) -> None:
    async def engine(config: EngineConfig, **more: Any) -> Any:
        return await open_engine(exact(f32_base), in_process=True)

    monkeypatch.setattr(cli_answer, "open_engine", engine)
    capfd.readouterr()
    arguments = ["run", PROMPT, "--base", str(f32_base), "--adapter", model, "--max-tokens", "10", "--temperature", "0"]
    assert guarded(root, arguments) == 0
    assert capfd.readouterr().out.rstrip("\n") == chat(http, model).rstrip("\n")
