"""POST /v1/completions."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgelora.server.answers import Prompt, begin
from edgelora.server.bodies import read_model
from edgelora.server.choosing import choose
from edgelora.server.errors import ApiError
from edgelora.server.openai.forms import Envelope, text_logprobs, usage
from edgelora.server.openai.limits import require_few
from edgelora.server.openai.requests import CompletionRequest
from edgelora.server.openai.work import Work, nth_seed, respond
from edgelora.server.prompts import prompt_tokens_of
from edgelora.server.routing import host_of, tenant_of
from edgelora.types import Finished, Token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.responses import Response

    from edgelora.server.host import Host
    from edgelora.types import TokenLogprob


@dataclass
class _Completion(Work):
    """``texts`` are the prompts to be echoed, one for each answer; empty where none is."""

    asked: CompletionRequest
    texts: list[str]
    n_prompts: int


@dataclass
class _Text:
    """One answer while it grows."""

    text: str
    logprobs: list[TokenLogprob] = field(default_factory=list)


async def completions(request: Request) -> Response:
    """Go on from a text, streamed or not."""
    host = host_of(request)
    asked = await read_model(request, host.options, CompletionRequest)
    return await respond(request, _begin(host, request, asked), _stream if asked.stream else None, _whole)


async def _begin(host: Host, request: Request, asked: CompletionRequest) -> _Completion:
    listed = _listed(asked.prompt)
    require_few(host, asked.choices * len(listed))
    choice = await choose(host, tenant_of(request), asked.model, asked.scales)
    if asked.echo and asked.logprobs is not None:
        raise ApiError(400, "'echo' with 'logprobs' is not possible here", "unsupported", param="echo")
    sampling = asked.sampling(
        host.sampling(choice.resolved.sampling), host.engine.base.n_vocab, logprobs=asked.logprobs
    )
    if asked.max_tokens is None:
        sampling = replace(sampling, max_tokens=16)  # OpenAI's default for this endpoint
    prompts, texts = [], []
    for one in listed:
        tokens = await prompt_tokens_of(host, one)
        text = (await host.engine.detokenize(tokens)).decode("utf-8", "replace") if asked.echo else ""
        for i in range(asked.choices):
            prompts.append(Prompt(tokens, nth_seed(sampling, i)))
            texts.append(one if asked.echo and isinstance(one, str) else text)
    begun = await begin(host, choice, prompts)
    envelope = Envelope("cmpl", "text_completion", asked.model or choice.text, begun.weights, begun.adapters)
    return _Completion(host, begun, envelope, asked, texts, len(listed))


def _listed(prompt: str | list[Any]) -> list[str | list[int]]:
    """The prompts, one or several."""
    if isinstance(prompt, str) or (prompt and isinstance(prompt[0], int)):
        return [prompt]
    if not prompt:
        raise ApiError(400, "the prompt is empty", "invalid_value", param="prompt")
    return list(prompt)


async def _whole(work: _Completion) -> dict[str, Any]:
    texts, ends = [_Text(text) for text in work.texts], dict[int, Finished]()
    async with aclosing(work.begun.events()) as events:
        async for index, event in events:
            if isinstance(event, Token):
                texts[index].text += event.text
                texts[index].logprobs.extend(event.logprobs)
            else:
                ends[index] = event
    wanted = work.asked.logprobs is not None
    choices = [
        _choice(i, one.text, text_logprobs(one.logprobs) if wanted else None, _reason(ends[i]))
        for i, one in enumerate(texts)
    ]
    made = [ends[i] for i in range(len(texts))]
    return work.envelope.document(choices, usage=usage(made, work.n_prompts), edgelora=work.made_by(made[0]))


async def _stream(work: _Completion) -> AsyncGenerator[dict[str, Any], None]:
    ends: dict[int, Finished] = {}
    lengths = [len(text) for text in work.texts]
    more: dict[str, Any] = {"usage": None} if work.asked.wants_usage else {}
    for index, text in enumerate(work.texts):
        if text:
            yield work.envelope.document([_choice(index, text, None, None)], **more)
    async with aclosing(work.begun.events()) as events:
        async for index, event in events:
            if isinstance(event, Token):
                told = text_logprobs(event.logprobs, lengths[index]) if event.logprobs else None
                lengths[index] += len(event.text)
                yield work.envelope.document([_choice(index, event.text, told, None)], **more)
                continue
            ends[index] = event
            last = work.envelope.document([_choice(index, "", None, _reason(event))], **more)
            yield last | {"edgelora": work.made_by(event)}
    if work.asked.wants_usage:
        yield work.envelope.document([], usage=usage([ends[i] for i in sorted(ends)], work.n_prompts))


def _choice(index: int, text: str, logprobs: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


def _reason(made: Finished) -> str:
    return "length" if made.reason == "length" else "stop"
