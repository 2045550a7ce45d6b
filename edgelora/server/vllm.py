"""POST /v1/load_lora_adapter and /v1/unload_lora_adapter, off unless the operator allows them.

Source of names and status codes: docs.vllm.ai, "Dynamically serving LoRA Adapters".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from starlette.responses import PlainTextResponse

from edgelora.adapters.naming import check_name
from edgelora.errors import EdgeloraError
from edgelora.server.bodies import read_model
from edgelora.server.errors import ApiError
from edgelora.server.openai.requests import Text
from edgelora.server.routing import host_of, tenant_of
from edgelora.server.tenants import EVERYBODY

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


class LoadRequest(BaseModel):
    """``lora_path`` lies in one of the server's adapter roots."""

    model_config = ConfigDict(extra="forbid")

    lora_name: Text
    lora_path: Text
    load_inplace: bool = False


class UnloadRequest(BaseModel):
    """Which one is not wanted any more."""

    model_config = ConfigDict(extra="forbid")

    lora_name: Text
    lora_int_id: int | None = None


async def load_adapter(request: Request) -> Response:
    """Give an adapter a name and load it: 200, 400 where the name is taken or the files are bad, 404 without files."""
    host = host_of(request)
    asked = await read_model(request, host.options, LoadRequest)
    _require_operator(request)
    try:
        name, path = check_name(asked.lora_name), host.names.located(asked.lora_path)
        if not asked.load_inplace:
            await host.catalogue.require_free(name)
        entry, file = await host.catalogue.inspected(name, path)
        await host.ensure_loaded([file])
        host.catalogue.add(entry, file)
    except EdgeloraError as error:
        failure = host.failure(error, param="lora_path")
        raise ApiError(failure.status, failure.message, failure.code, param="lora_path") from None
    return PlainTextResponse(f"Success: LoRA adapter '{asked.lora_name}' added successfully.")


async def unload_adapter(request: Request) -> Response:
    """Forget a name; answers that run under it go on. 404 where it is not one that was loaded this way."""
    host = host_of(request)
    asked = await read_model(request, host.options, UnloadRequest)
    _require_operator(request)
    if not host.catalogue.remove(asked.lora_name):
        raise ApiError(404, f"no adapter {asked.lora_name!r} was loaded", "model_not_found", param="lora_name")
    return PlainTextResponse(f"Success: LoRA adapter '{asked.lora_name}' removed successfully.")


def _require_operator(request: Request) -> None:
    """Raise ApiError for a tenant: adapters are everybody's."""
    if tenant_of(request).name != EVERYBODY:
        raise ApiError(403, "a tenant's key may not change the adapters", "forbidden")
