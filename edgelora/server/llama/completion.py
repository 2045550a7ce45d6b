"""POST /completion: going on from a text, with llama-server's names."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from edgelora.errors import GrammarError
from edgelora.server.answers import Prompt, begin
from edgelora.server.attestation import attestation, attestation_headers
from edgelora.server.bodies import read_model
from edgelora.server.choosing import choose
from edgelora.server.errors import ApiError
from edgelora.server.json_grammar import schema_grammar
from edgelora.server.llama.requests import LlamaRequest
from edgelora.server.prompts import prompt_tokens_of
from edgelora.server.routing import host_of, tenant_of
from edgelora.server.streaming import EventStream, until_gone
from edgelora.types import Token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.responses import Response

    from edgelora.server.answers import Begun
    from edgelora.server.host import Host
    from edgelora.server.weights import Weights
    from edgelora.types import AttestedAdapter, Finished, TokenLogprob


async def completion(request: Request) -> Response:
    """Answer, streamed or not."""
    host = host_of(request)
    asked = await read_model(request, host.options, LlamaRequest)
    begun = await until_gone(request.receive, _begin(host, request, asked))
    headers = attestation_headers(begun.weights, begun.adapters)
    documents = _documents(host, begun)
    if asked.stream:
        return EventStream(documents, headers, begun.close, stall_s=host.options.stall_s, ends_with="")
    try:
        return JSONResponse(await until_gone(request.receive, _whole(documents)), headers=headers)
    finally:
        await begun.close()


async def _begin(host: Host, request: Request, asked: LlamaRequest) -> Begun:
    choice = await choose(host, tenant_of(request), asked.model, asked.scales)
    sampling = asked.sampling(
        host.sampling(choice.resolved.sampling), host.engine.base.n_vocab, logprobs=asked.n_probs or None
    )
    if asked.n_predict is not None:
        sampling = replace(sampling, max_tokens=None if asked.n_predict < 0 else asked.n_predict)
    if asked.json_schema is not None:
        sampling = replace(sampling, grammar=_grammar(asked.json_schema))
    prompt = Prompt(await prompt_tokens_of(host, asked.prompt), sampling)
    return await begin(host, choice, [prompt])


def _grammar(schema: object) -> str:
    try:
        return schema_grammar(schema)
    except GrammarError as error:
        raise ApiError(400, str(error), "invalid_grammar", param="json_schema") from None


async def _documents(host: Host, begun: Begun) -> AsyncGenerator[dict[str, Any], None]:
    """The answer piece by piece, and last what made it."""
    async with aclosing(begun.events()) as events:
        async for _, event in events:
            if isinstance(event, Token):
                probabilities = {"completion_probabilities": _probabilities(event.logprobs)} if event.logprobs else {}
                yield {"index": 0, "content": event.text, "stop": False, **probabilities}
            else:
                yield _last(host, begun.weights, event)


async def _whole(documents: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any]:
    text, probabilities, last = "", list[dict[str, Any]](), dict[str, Any]()
    async with aclosing(documents):
        async for last in documents:
            text += last["content"]
            probabilities += last.get("completion_probabilities", [])
    return last | {"content": text} | ({"completion_probabilities": probabilities} if probabilities else {})


def _last(host: Host, weights: Weights, made: Finished) -> dict[str, Any]:
    return {
        "index": 0,
        "content": "",
        "stop": True,
        "stop_type": "limit" if made.reason == "length" else "eos",
        "model": host.engine.base.name,
        "tokens_predicted": made.completion_tokens,
        "tokens_evaluated": made.prompt_tokens,
        "tokens_cached": made.reused_tokens,
        "truncated": False,
        "generation_settings": {"lora": _lora(made.adapters)},
        "timings": {
            "prompt_n": made.prompt_tokens - made.reused_tokens,
            "prompt_ms": round(made.ttft_ms, 3),
            "predicted_n": made.completion_tokens,
            "predicted_per_second": round(made.tok_per_s, 3),
        },
        "edgelora": attestation(weights, made.adapters),
    }


def _lora(adapters: tuple[AttestedAdapter, ...]) -> list[dict[str, Any]]:
    return [{"name": one.name, "scale": one.scale} for one in adapters]


def _probabilities(tokens: tuple[TokenLogprob, ...]) -> list[dict[str, Any]]:
    return [
        {
            "id": one.token,
            "token": one.piece.decode("utf-8", "replace"),
            "bytes": list(one.piece),
            "logprob": one.logprob,
            "top_logprobs": [
                {
                    "id": top.token,
                    "token": top.piece.decode("utf-8", "replace"),
                    "bytes": list(top.piece),
                    "logprob": top.logprob,
                }
                for top in one.top
            ],
        }
        for one in tokens
    ]
