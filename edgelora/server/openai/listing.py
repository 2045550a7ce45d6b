"""GET /v1/models: the base and every adapter, with what it was made from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from edgelora.adapters.selection import BASE_NAME
from edgelora.server.errors import ApiError
from edgelora.server.routing import host_of, tenant_of
from edgelora.server.selecting import NO_SUCH_MODEL

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.server.host import Host
    from edgelora.server.tenants import Tenant

_STARTED = int(time.time())


async def models(request: Request) -> Response:
    """All that this tenant may use."""
    return JSONResponse({"object": "list", "data": await listed(host_of(request), tenant_of(request))})


async def model(request: Request) -> Response:
    """One of them."""
    wanted = request.path_params["model"]
    for one in await listed(host_of(request), tenant_of(request)):
        if one["id"] == wanted:
            return JSONResponse(one)
    raise ApiError(404, f"there is no model {wanted!r}. {NO_SUCH_MODEL}", "model_not_found", param="model")


async def listed(host: Host, tenant: Tenant) -> list[dict[str, Any]]:
    """What `tenant` may name as ``model``: the base first."""
    found = [_base(host)] if tenant.may_name(BASE_NAME) else []
    entries = await host.catalogue.entries()
    return found + [_adapter(host, entry) for entry in entries if tenant.may_name(entry.name)]


def _base(host: Host) -> dict[str, Any]:
    base = host.engine.base
    return {
        "id": BASE_NAME,
        "object": "model",
        "created": _STARTED,
        "owned_by": "edgelora",
        "root": BASE_NAME,
        "parent": None,
        "name": base.name,
        "fingerprint": base.fingerprint,
        "max_model_len": base.ctx,
    }


def _adapter(host: Host, entry: AdapterEntry) -> dict[str, Any]:
    return {
        "id": entry.name,
        "object": "model",
        "created": _STARTED,
        "owned_by": "edgelora",
        "root": BASE_NAME,
        "parent": BASE_NAME,
        "version": entry.version,
        "aliases": list(entry.aliases),
        "description": entry.description,
        "sha256": entry.sha256,
        "rank": entry.rank,
        "mode": host.hot.mode(entry.sha256),
    }
