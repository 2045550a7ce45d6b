"""Answers from the engine: one request or several at once, counted, and cancelled when nobody listens any more."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from edgelora.errors import EngineDiedError, GGUFError, QuarantinedError, QueueFullError
from edgelora.server.errors import ApiError, as_api_error
from edgelora.server.host import Running
from edgelora.types import Failed, Finished, Prefilling, Request, Started, Token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from edgelora.server.choosing import Choice
    from edgelora.server.host import Host
    from edgelora.server.weights import Weights
    from edgelora.types import AttestedAdapter, RequestEvent, SamplingParams, Selection


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens to go on from, and how."""

    tokens: tuple[int, ...]
    sampling: SamplingParams


@dataclass(frozen=True, slots=True)
class Begun:
    """Answers of which the first was admitted; :meth:`events` are theirs, by index. Always :meth:`close` it."""

    weights: Weights
    adapters: tuple[AttestedAdapter, ...]
    _answers: AsyncGenerator[tuple[int, RequestEvent], None]

    async def events(self) -> AsyncGenerator[tuple[int, Token | Finished], None]:
        """What the answers say, and how each ends. Raises ApiError."""
        async for index, event in self._answers:
            if isinstance(event, Token | Finished):
                yield index, event

    async def close(self) -> None:
        """Cancel what has not ended. Safe to call twice, and before anybody has listened."""
        await self._answers.aclose()


async def begin(host: Host, choice: Choice, prompts: Sequence[Prompt]) -> Begun:
    """Ask for all ``prompts`` at once and wait until one is admitted. Raises ApiError."""
    require_room(host, choice, len(prompts))
    weights = host.hot.weights(choice.text, choice.resolved.selection)
    if choice.fallback:
        weights = replace(weights, fallback=choice.fallback)
    events = _answers(host, choice, weights, prompts)
    try:
        _, started = await anext(events)
        assert isinstance(started, Started)
    except BaseException:
        await events.aclose()
        raise
    return Begun(weights, started.adapters, events)


def require_room(host: Host, choice: Choice, wanted: int) -> None:
    """Raise ApiError where the server is ending, or the tenant has its share already, or asks for more than that."""
    if host.draining:
        raise ApiError(503, "this server is ending", "draining", retry_after=5)
    most = choice.tenant.max_running
    if most is None:
        return
    says, own = f"this key may have {most} answers at a time", host.running_by_tenant()[choice.tenant.name]
    if wanted > most:
        raise ApiError(400, says, "invalid_value", param="n")
    if own + wanted > most:
        host.metrics.refused += 1
        first = host.pace.seconds(len(host.running) // own)  # until one of its own has ended
        raise ApiError(429, says, "too_many_requests", retry_after=first)


async def _answers(
    host: Host, choice: Choice, weights: Weights, prompts: Sequence[Prompt]
) -> AsyncGenerator[tuple[int, RequestEvent], None]:
    """The events of all answers as they come. Raises ApiError as soon as one fails; then the others are cancelled."""
    heard: asyncio.Queue[tuple[int, RequestEvent]] = asyncio.Queue()
    names = tuple(file.name for file in choice.resolved.files)
    requests = [_request(host, choice, weights.selection, prompt) for prompt in prompts]
    running = [Running(request, choice.tenant.name, names) for request in requests]
    for one in running:
        host.begin(one)
    with weights.used():
        tasks = [asyncio.create_task(_listen(host, weights, i, one, heard)) for i, one in enumerate(running)]
        left = len(tasks)
        try:
            while left:
                index, event = await heard.get()
                if isinstance(event, Failed):
                    raise _failure(host, weights, event)
                left -= isinstance(event, Finished)
                yield index, event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for one in running:
                host.end(one)


def _failure(host: Host, weights: Weights, failed: Failed) -> ApiError:
    if weights.baked and isinstance(failed.error, GGUFError | QuarantinedError):  # its file, of which no client knows
        return as_api_error(EngineDiedError("the baked engine has failed", "Ask again: it is computed at run time."))
    error = host.failure(failed.error)
    if isinstance(failed.error, QueueFullError):
        host.metrics.refused += 1
        error.retry_after = host.pace.seconds(len(host.running) // 4)  # when a quarter of the queue is gone
    return error


def _request(host: Host, choice: Choice, selection: Selection, prompt: Prompt) -> Request:
    most = choice.tenant.max_tokens
    wanted = prompt.sampling.max_tokens
    if most is not None and (wanted is None or wanted > most):
        prompt = replace(prompt, sampling=replace(prompt.sampling, max_tokens=most))
    return Request(
        f"http-{uuid4().hex}",
        prompt.tokens,
        selection,
        prompt.sampling,
        client=choice.tenant.name if choice.tenant.key else "",
        deadline_s=host.options.answer_s,
    )


async def _listen(
    host: Host, weights: Weights, index: int, running: Running, heard: asyncio.Queue[tuple[int, RequestEvent]]
) -> None:
    """Put the events of one request into ``heard``; when this task is cancelled, so is the request."""
    try:
        async with aclosing(weights.engine.generate(running.request)) as events:
            async for event in events:
                if isinstance(event, Prefilling):
                    continue
                if isinstance(event, Started | Finished):
                    event = replace(event, adapters=weights.attested(event.adapters))
                running.pieces += isinstance(event, Token)
                if isinstance(event, Finished):
                    running.how, running.made = event.reason, event
                    host.made.append(event)
                elif isinstance(event, Failed):
                    running.how = "failed"
                heard.put_nowait((index, event))
    finally:
        host.end(running)
