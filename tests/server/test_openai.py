"""OpenAI's dialect, asked by the official client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest

from edgelora.config.locations import demo_adapters
from tests.server.serving import Http, until

if TYPE_CHECKING:
    from edgelora.server.running import Server
    from edgelora.types import AdapterFile

SAY: Any = [{"role": "user", "content": "Say something."}]
FORMS = ["base", "first:0.5", "legal:0.7+first:-0.2", "first#base"]


def said(client: openai.OpenAI, model: str, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=SAY, max_tokens=12, **more)


def test_every_model_is_listed(client: openai.OpenAI, strong: dict[str, AdapterFile]) -> None:
    models = {model.id: model.model_dump() for model in client.models.list()}
    demo = {path.stem for path in demo_adapters().glob("*.gguf")}
    assert set(models) == {"base", *strong, *demo}
    assert models["base"]["parent"] is None
    first = models["first"]
    assert (first["parent"], first["root"], first["sha256"]) == ("base", "base", strong["first"].sha256)
    assert client.models.retrieve("first").id == "first"


@pytest.mark.parametrize("model", FORMS)
def test_each_form_of_model_has_its_own_answer(client: openai.OpenAI, model: str) -> None:
    whole = said(client, model)
    assert (whole.choices[0].message.content == said(client, "base").choices[0].message.content) is (model == "base")
    streamed = list(said(client, model, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    assert text == whole.choices[0].message.content
    assert streamed[-1].usage.completion_tokens == whole.usage.completion_tokens > 0
    assert streamed[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert streamed[-2].edgelora["adapters"] == whole.edgelora["adapters"]


def test_an_answer_says_what_made_it(client: openai.OpenAI, server: Server, strong: dict[str, AdapterFile]) -> None:
    raw = client.chat.completions.with_raw_response.create(model="second:0.25+first", messages=SAY, max_tokens=3)
    made = raw.parse().model_dump()["edgelora"]
    assert {(one["name"], one["sha256"], one["scale"]) for one in made["adapters"]} == {
        ("first", strong["first"].sha256, 1.0),
        ("second", strong["second"].sha256, 0.25),
    }
    base = server.host.engine.base
    assert made["base"]["fingerprint"] == raw.headers["x-edgelora-base"] == base.fingerprint
    assert set(raw.headers["x-edgelora-selection"].split("+")) == {"first", "second:0.25"}
    assert f"second;sha256={strong['second'].sha256};scale=0.25" in raw.headers["x-edgelora-adapters"]


def test_the_fingerprint_changes_with_the_weights(client: openai.OpenAI) -> None:
    prints = [said(client, model).system_fingerprint for model in ("base", "first", "first:0.5", "first")]
    assert len(set(prints)) == 3
    assert prints[1] == prints[3]


async def test_the_asynchronous_client_streams_side_by_side(server: Server, client: openai.OpenAI) -> None:
    import asyncio

    async with openai.AsyncOpenAI(base_url=f"{server.address}/v1", api_key="x", max_retries=0, timeout=100) as both:

        async def text(model: str) -> str:
            stream = await both.chat.completions.create(model=model, messages=SAY, max_tokens=12, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        models = ["base", "first", "second", "first:0.5"] * 2
        texts = await asyncio.gather(*map(text, models))
    assert list(texts) == [said(client, model).choices[0].message.content for model in models]


def test_several_answers_differ_by_their_seeds(client: openai.OpenAI) -> None:
    several = said(client, "base", n=3, temperature=1.2, seed=5)
    texts = [choice.message.content for choice in several.choices]
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert texts == [choice.message.content for choice in said(client, "base", n=3, temperature=1.2, seed=5).choices]
    streamed: dict[int, str] = {}
    for chunk in said(client, "base", n=3, temperature=1.2, seed=5, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] = streamed.get(choice.index, "") + (choice.delta.content or "")
    assert [streamed[i] for i in range(3)] == texts


def test_an_answer_stops_where_it_should(client: openai.OpenAI) -> None:
    whole = said(client, "base").choices[0].message.content
    stop = whole[len(whole) // 2 :][:3]
    stopped = said(client, "base", stop=stop).choices[0]
    assert stopped.message.content == whole[: whole.index(stop)]
    assert stopped.finish_reason == "stop"
    assert said(client, "base", stop=[stop, "~~"]).choices[0].message.content == stopped.message.content
    short = client.chat.completions.create(model="base", messages=SAY, max_completion_tokens=2)
    assert short.choices[0].finish_reason == "length"
    assert short.usage
    assert short.usage.completion_tokens == 2


def test_probabilities_are_told(client: openai.OpenAI) -> None:
    choice = said(client, "first", logprobs=True, top_logprobs=2).choices[0]
    told = choice.logprobs.content
    assert "".join(one.token for one in told) == choice.message.content
    assert all(len(one.top_logprobs) == 2 and one.logprob <= 0 for one in told)
    text = client.completions.create(model="first", prompt="Once", max_tokens=4, logprobs=2)
    told_text = text.choices[0].logprobs
    assert told_text
    assert "".join(told_text.tokens or []) == text.choices[0].text


def test_an_answer_keeps_to_a_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"yes": {"type": "boolean"}, "kind": {"enum": ["a", "b"]}},
        "required": ["yes", "kind"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    asked: Any = {"model": "first", "messages": SAY, "response_format": form, "max_tokens": 200}
    answer = json.loads(client.chat.completions.create(**asked).choices[0].message.content)
    assert isinstance(answer["yes"], bool)
    assert answer["kind"] in ("a", "b")
    assert list(answer) == ["yes", "kind"]


def test_completions_take_text_and_tokens(client: openai.OpenAI, http: Http) -> None:
    tokens = http.post("/tokenize", content="Once upon", add_special=True)["tokens"]
    by_text = client.completions.create(model="second", prompt="Once upon", max_tokens=8)
    by_tokens = client.completions.create(model="second", prompt=tokens, max_tokens=8)
    assert by_text.choices[0].text == by_tokens.choices[0].text
    both = client.completions.create(model="second", prompt=["Once upon", "The"], max_tokens=8, echo=True)
    assert both.choices[0].text == "Once upon" + by_text.choices[0].text
    assert both.choices[1].text.startswith("The")
    streamed = client.completions.create(model="second", prompt="Once upon", max_tokens=8, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == by_text.choices[0].text
    assert http.post("/detokenize", tokens=tokens)["content"].endswith("Once upon")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 99}, "n"),
        ({"stop": ""}, "stop"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"99999999": 1}}, "logit_bias"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"store": True}, "store"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}}, "response_format"),
        ({"model": "auto"}, "model"),
        ({"model": "first:x"}, "model"),
        ({"model": "first+first"}, "model"),
        ({"lora": [{"id": 0}, {"id": 0}]}, "lora"),
        ({"model": "first", "lora": [{"id": 0}]}, "lora"),
    ],
)
def test_what_is_wrong_is_named(http: Http, more: dict[str, Any], param: str) -> None:
    error = http.refused("/v1/chat/completions", {"model": "base", "messages": SAY, **more})
    assert (error["param"] or "").startswith(param), error
    assert "Traceback" not in json.dumps(error)


@pytest.mark.parametrize("model", ["nobody", "first#other-base", "nobody:0.5+first", "../first.gguf", "/etc/passwd"])
def test_an_unknown_model_is_never_the_base(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        said(client, model)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_a_prompt_that_is_too_long_is_an_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="base", messages=[{"role": "user", "content": "x " * 2000}])
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 70_000}]}),
        ("/v1/completions", {"prompt": "x" * 70_000}),
        ("/v1/embeddings", {"input": ["x", "x" * 70_000]}),
        ("/completion", {"prompt": "x" * 70_000}),
        ("/tokenize", {"content": "x" * 70_000}),
    ],
)
def test_what_could_never_fit_is_not_even_read(http: Http, path: str, body: dict[str, Any]) -> None:
    error = http.refused(path, body)
    assert error["code"] == "context_length_exceeded"
    assert "70,000 characters" in error["message"]


def test_a_message_may_come_in_parts_and_from_the_developer(client: openai.OpenAI) -> None:
    content = [{"type": "text", "text": text} for text in ("Say ", "something.")]
    parts: Any = [{"role": "user", "content": content}]
    whole = client.chat.completions.create(model="first", messages=parts, max_tokens=12)
    assert whole.choices[0].message.content == said(client, "first").choices[0].message.content
    for role in ("developer", "system"):
        messages: Any = [{"role": role, "content": "Be brief."}, *SAY]
        assert client.chat.completions.create(model="first", messages=messages, max_tokens=4).choices


def test_an_adapter_that_comes_later_is_found(
    client: openai.OpenAI, folder: Path, f32_base: Path, strong: dict[str, AdapterFile]
) -> None:
    from support.adapters import write_adapter

    with pytest.raises(openai.NotFoundError):
        said(client, "late")
    write_adapter(folder / "late.gguf", f32_base, seed=9, strength=6.0, dtype="float32")
    until(lambda: "late" in [model.id for model in client.models.list()])
    assert said(client, "late").choices[0].message.content != said(client, "base").choices[0].message.content


def test_embeddings_differ_by_the_selection_and_are_of_length_one(client: openai.OpenAI, http: Http) -> None:
    def vectors(model: str, given: Any) -> list[list[float]]:
        return [one.embedding for one in client.embeddings.create(model=model, input=given).data]

    sea, ship = vectors("base", ["The sea.", "A ship sails."])
    assert abs(sum(value**2 for value in sea) - 1) < 1e-4
    assert sea != ship
    assert vectors("base", "The sea.") == [sea]
    tokens = http.post("/tokenize", content="The sea.", add_special=True)["tokens"]
    assert vectors("base", tokens) == [sea]
    adapted = vectors("first:0.5", "The sea.")[0]
    assert max(abs(a - b) for a, b in zip(adapted, sea, strict=True)) > 1e-3
    assert http.post("/v1/embeddings", model="first:0.5", input="The sea.")["edgelora"]["selection"] == "first:0.5"
