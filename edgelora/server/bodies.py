"""Request bodies: read within limits, parsed, and checked against a model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from edgelora.server.errors import ApiError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from starlette.requests import Request

    from edgelora.server.options import ServerOptions

Model = TypeVar("Model", bound=BaseModel)
Path = tuple[str | int, ...]
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
        wrong, path = _meant(error, document)
    where = ".".join(map(str, path)) or None
    if wrong["type"] == "extra_forbidden":
        raise ApiError(400, f"the parameter {where!r} is not known here", "unknown_parameter", param=where)
    raise ApiError(400, f"{where or 'the body'}: {wrong['msg']}", "invalid_value", param=where)


def _meant(error: ValidationError, document: object) -> tuple[ErrorDetails, Path]:
    """What to tell of ``error``, and where it is in ``document``.

    A parameter of several forms has an error for each; the form that was meant is the one that fits furthest.
    """
    found = error.errors(include_url=False, include_context=False)
    found = [one for one in found if one["loc"][:1] == found[0]["loc"][:1]]
    placed = [(one, _path(one, document)) for one in found]
    return max(placed, key=lambda one: (len(one[1]), not one[0]["type"].endswith("_type")))


def _path(wrong: ErrorDetails, document: Any) -> Path:
    """The place of ``wrong`` without pydantic's names of forms, which are no keys of ``document``."""
    path: list[str | int] = []
    for step in wrong["loc"]:
        if isinstance(step, int) or (isinstance(document, dict) and step in document):
            path.append(step)
            document = document[step]
    return (*path, wrong["loc"][-1]) if wrong["type"] == "missing" else tuple(path)


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
