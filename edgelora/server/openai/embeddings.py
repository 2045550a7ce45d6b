"""POST /v1/embeddings: not there yet, and said so in a form that clients read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.server.errors import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def embeddings(request: Request) -> Response:
    """Refused."""
    raise ApiError(501, "this server computes no embeddings", "not_implemented")
