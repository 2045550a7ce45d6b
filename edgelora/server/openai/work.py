"""A request for answers on its way through an endpoint of OpenAI's dialect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import JSONResponse

from edgelora.server.attestation import attestation_headers
from edgelora.server.openai.forms import Envelope, made_by
from edgelora.server.streaming import EventStream, until_gone

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response

    from edgelora.server.answers import Begun
    from edgelora.server.host import Host
    from edgelora.types import Finished, SamplingParams


@dataclass
class Work:
    """What was chosen for a request, and the answers to it, of which the first was admitted."""

    host: Host
    begun: Begun
    envelope: Envelope

    @property
    def headers(self) -> dict[str, str]:
        """What attests the answers."""
        return attestation_headers(self.begun.weights, self.begun.adapters)

    def made_by(self, made: Finished) -> dict[str, Any]:
        """The same for one answer, as a field of the body."""
        return made_by(self.begun.weights, made)


AnyWork = TypeVar("AnyWork", bound=Work)


async def respond(
    request: Request,
    beginning: Coroutine[Any, Any, AnyWork],
    streamed: Callable[[AnyWork], AsyncGenerator[dict[str, Any], None]] | None,
    whole: Callable[[AnyWork], Coroutine[Any, Any, dict[str, Any]]],
) -> Response:
    """The answers: a stream of events, or one document where ``streamed`` is None. A client that leaves ends them."""
    work = await until_gone(request.receive, beginning)
    if streamed:
        stall_s = work.host.options.stall_s
        return EventStream(streamed(work), work.headers, work.begun.close, stall_s=stall_s)
    try:
        return JSONResponse(await until_gone(request.receive, whole(work)), headers=work.headers)
    finally:
        await work.begun.close()


def nth_seed(sampling: SamplingParams, index: int) -> SamplingParams:
    """The same with a seed of its own for the answer of this index, where there is one."""
    return replace(sampling, seed=None if sampling.seed is None else sampling.seed + index)
