"""POST /v1/embeddings: mean-pooled, normalised hidden states under a selection."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from edgelora.errors import EdgeloraError
from edgelora.server.answers import require_room
from edgelora.server.attestation import attestation, attestation_headers
from edgelora.server.bodies import read_model
from edgelora.server.choosing import choose
from edgelora.server.errors import ApiError
from edgelora.server.host import Running
from edgelora.server.openai.requests import Text
from edgelora.server.prompts import prompt_tokens_of
from edgelora.server.routing import host_of, tenant_of
from edgelora.server.streaming import until_gone
from edgelora.server.weights import Weights
from edgelora.types import AttestedAdapter, Request, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

    from edgelora.server.choosing import Choice
    from edgelora.server.host import Host

MOST_INPUTS = 64
MOST_REQUESTS = 64


class EmbeddingRequest(BaseModel):
    """Texts or token ids. ``dimensions`` is not carried: these vectors cannot be cut."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, max_length=1000)
    input: Text | list[Text] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = "float"
    user: str | None = None


async def embeddings(request: HttpRequest) -> Response:
    """One vector for each text."""
    host = host_of(request)
    asked = await read_model(request, host.options, EmbeddingRequest)
    return await until_gone(request.receive, _answer(host, request, asked))


async def _answer(host: Host, request: HttpRequest, asked: EmbeddingRequest) -> Response:
    inputs = _listed(asked.input)
    choice = await choose(host, tenant_of(request), asked.model)
    texts = [await prompt_tokens_of(host, one, param="input") for one in inputs]
    vectors = await _embedded(host, choice, texts)
    in_base64 = asked.encoding_format == "base64"  # what OpenAI's client asks for by itself
    data = [
        {"object": "embedding", "index": i, "embedding": _base64(vector) if in_base64 else list(vector)}
        for i, vector in enumerate(vectors)
    ]
    n_tokens, adapters = sum(map(len, texts)), _attested(choice)
    weights = Weights(host.engine, host.engine.base, choice.resolved.selection, fallback=choice.fallback)
    document = {
        "object": "list",
        "data": data,
        "model": asked.model or choice.text,
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        "edgelora": attestation(weights, adapters),
    }
    return JSONResponse(document, headers=attestation_headers(weights, adapters))


def _listed(given: str | list[Any]) -> list[Any]:
    inputs = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else list(given)
    if not 0 < len(inputs) <= MOST_INPUTS:
        raise ApiError(400, f"one request may have 1 to {MOST_INPUTS} texts", "invalid_value", param="input")
    return inputs


async def _embedded(host: Host, choice: Choice, texts: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
    """The vectors of ``texts``, as one of the tenant's answers. Raises ApiError."""
    require_room(host, choice, 1)
    _require_place(host)
    running = Running(
        Request(f"http-{uuid4().hex}", texts[0], choice.resolved.selection, SamplingParams()),
        choice.tenant.name,
        tuple(file.name for file in choice.resolved.files),
        embeds=True,
    )
    host.begin(running)
    try:
        async with asyncio.timeout(host.options.answer_s):
            vectors = [await _vector(host, choice, tokens) for tokens in texts]
    except TimeoutError:
        running.how = "failed"
        raise ApiError(408, f"this took longer than {host.options.answer_s:g} s", "timeout") from None
    except ApiError:
        running.how = "failed"
        raise
    else:
        running.how = "embedded"
        return vectors
    finally:
        host.end(running)


def _require_place(host: Host) -> None:
    """Raise ApiError where too many wait: the engine computes one text after the other."""
    if sum(one.embeds for one in host.running.values()) >= MOST_REQUESTS:
        host.metrics.refused += 1
        raise ApiError(
            429,
            f"{MOST_REQUESTS} requests for embeddings are waiting already",
            "queue_full",
            retry_after=host.pace.seconds(MOST_REQUESTS // 4),
        )


async def _vector(host: Host, choice: Choice, tokens: tuple[int, ...]) -> tuple[float, ...]:
    try:
        return await host.engine.embed(tokens, choice.resolved.selection)
    except EdgeloraError as error:
        failure = host.failure(error)
        failure.param = "input" if failure.param == "messages" else failure.param
        raise failure from None


def _attested(choice: Choice) -> tuple[AttestedAdapter, ...]:
    """The engine looks whether the files are still those of these hashes."""
    names = {file.sha256: file.name for file in choice.resolved.files}
    members = choice.resolved.selection.members
    return tuple(AttestedAdapter(names[member.adapter], member.adapter, member.scale) for member in members)


def _base64(vector: tuple[float, ...]) -> str:
    return base64.b64encode(np.array(vector, "<f4").tobytes()).decode()
