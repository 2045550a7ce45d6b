"""POST /tokenize and /detokenize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse

from edgelora.server.bodies import read_model
from edgelora.server.prompts import require_fitting, require_vocabulary
from edgelora.server.routing import host_of
from edgelora.server.streaming import until_gone

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from edgelora.server.host import Host


class TokenizeRequest(BaseModel):
    """``with_pieces`` asks for the text of each token, or its bytes where they are no text."""

    model_config = ConfigDict(extra="forbid")

    content: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeRequest(BaseModel):
    """Token ids to be read."""

    model_config = ConfigDict(extra="forbid")

    tokens: list[int]


async def tokenize(request: Request) -> Response:
    """The tokens of a text."""
    host = host_of(request)
    asked = await read_model(request, host.options, TokenizeRequest)
    require_fitting(host, len(asked.content), param="content")
    return JSONResponse({"tokens": await until_gone(request.receive, _tokenized(host, asked))})


async def _tokenized(host: Host, asked: TokenizeRequest) -> list[Any]:
    tokens = await host.engine.tokenize(asked.content, parse_special=asked.parse_special, add_special=asked.add_special)
    if not asked.with_pieces:
        return list(tokens)
    pieces = {token: _piece(await host.engine.detokenize((token,))) for token in dict.fromkeys(tokens)}
    return [{"id": token, "piece": pieces[token]} for token in tokens]


async def detokenize(request: Request) -> Response:
    """The text of tokens."""
    host = host_of(request)
    asked = await read_model(request, host.options, DetokenizeRequest)
    require_vocabulary(host, asked.tokens)
    data = await host.engine.detokenize(tuple(asked.tokens))
    return JSONResponse({"content": data.decode("utf-8", "replace")})


def _piece(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list(data)
