"""GET and POST /lora-adapters: adapters by number, and the scales of requests that name none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from edgelora.server.bodies import checked, read_json
from edgelora.server.choosing import choose
from edgelora.server.errors import ApiError
from edgelora.server.openai.requests import LoraScale
from edgelora.server.routing import host_of, tenant_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def listed(request: Request) -> Response:
    """Adapters by id, with the scale that requests without any get."""
    host, tenant = host_of(request), tenant_of(request)
    scales = host.scales.get(tenant.name, {})
    entries = await host.catalogue.numbered()
    return JSONResponse(
        [
            {"id": number, "name": entry.name, "path": entry.path.name, "scale": scales.get(number, 0.0)}
            for number, entry in entries.items()
            if tenant.may_name(entry.name)
        ]
    )


async def set_scales(request: Request) -> Response:
    """Set the scales for this tenant's requests to come; what is not named becomes 0. Running ones keep theirs."""
    host, tenant = host_of(request), tenant_of(request)
    document = await read_json(request, host.options)
    if not isinstance(document, list):
        raise ApiError(400, "the body is a list of {id, scale}", "invalid_value")
    scales = [checked(LoraScale, one) for one in document]
    await choose(host, tenant, None, [(one.id, one.scale) for one in scales])  # whatever is wrong with them is said now
    host.scales[tenant.name] = {one.id: one.scale for one in scales}
    return JSONResponse({"success": True})
