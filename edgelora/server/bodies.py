"""Request bodies: read within limits, parsed, and checked against a model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from edgelora.server.errors import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request

    from edgelora.server.options import ServerOptions

Model = TypeVar("Model", bound=BaseModel)
PATIENCE = 4
"""A body of so many times what is allowed is cut off."""


async def read_json(request: Request, options: ServerOptions) -> Any:
    """The JSON of the body. Raises ApiError: 413 too large, 408 too slow, 400 no JSON."""
    try:
        async with asyncio.timeout(options.body_s):
            data = await _read(request, options.body_bytes)
    except TimeoutError:
        raise ApiError(408, f"the request did not come within {options.body_s:g} s", "timeout") from None
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"the body is no JSON: {error}", "invalid_json") from None


async def read_model(request: Request, options: ServerOptions, model: type[Model]) -> Model:
    """The body as a ``model``. Raises ApiError that names the parameter."""
    return checked(model, await read_json(request, options))


def checked(model: type[Model], document: object) -> Model:
    """``document`` as a ``model``. Raises ApiError that names the parameter."""
    if not isinstance(document, dict):
        raise ApiError(400, "the body is a JSON object", "invalid_json")
    try:
        return model.model_validate(document, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or None
    if first["type"] == "extra_forbidden":
        raise ApiError(400, f"the parameter {where!r} is not known here", "unknown_parameter", param=where)
    raise ApiError(400, f"{where or 'the body'}: {first['msg']}", "invalid_value", param=where)


async def _read(request: Request, limit: int) -> bytes:
    """The body. One that is somewhat too large is read to its end: who still sends does not hear what is answered."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > PATIENCE * limit:
        raise _too_large(limit)
    data, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > PATIENCE * limit:
            break
        if size <= limit:
            data += chunk
    if size > limit:
        raise _too_large(limit)
    return bytes(data)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is larger than {limit:,} bytes", "body_too_large")
