"""Which adapters a request runs under, and whether its tenant may have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.adapters.selection import BASE_NAME
from edgelora.chat.resolved import ResolvedSelection
from edgelora.errors import (
    AdapterError,
    AdapterTooLargeError,
    ConversionError,
    EdgeloraError,
    GGUFError,
    QuarantinedError,
    UsageError,
)
from edgelora.server.errors import ApiError, without_folders
from edgelora.server.selecting import NO_SUCH_MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgelora.server.host import Host
    from edgelora.server.tenants import Tenant

_CANNOT_BE_LOADED = (AdapterError, AdapterTooLargeError, ConversionError, GGUFError, QuarantinedError)


@dataclass(frozen=True, slots=True)
class Choice:
    """A selection that is known to the engine; ``text`` names it.

    ``fallback`` says why it is not the one that was asked for.
    """

    tenant: Tenant
    text: str
    resolved: ResolvedSelection
    fallback: str = ""


async def choose(
    host: Host, tenant: Tenant, model: str | None, lora: Sequence[tuple[int, float]] | None = None
) -> Choice:
    """What ``model``, or llama-server's ``lora``, means for ``tenant``. Raises ApiError.

    Without either it is what the tenant has set with POST /lora-adapters, or its default, or the server's.
    """
    try:
        text = await _text(host, tenant, model, lora)
    except UsageError as error:
        raise host.failure(error, param="model") from None
    except EdgeloraError as error:
        raise _unknown(model) if tenant.selections is not None else host.failure(error, param="model") from None
    if not tenant.may_use(text):
        raise _unknown(model)
    try:
        return await _known(host, tenant, text)
    except EdgeloraError as error:
        raise host.failure(error, param="model") from None


def _unknown(model: str | None) -> ApiError:
    """The same words for what is not there and what a tenant may not know of."""
    named = f" {model!r}" if model else ""
    return ApiError(404, f"there is no such model{named}. {NO_SUCH_MODEL}", "model_not_found", param="model")


async def _text(host: Host, tenant: Tenant, model: str | None, lora: Sequence[tuple[int, float]] | None) -> str:
    if lora is not None:
        if model and host.names.selection(model) != BASE_NAME:
            raise ApiError(400, "'model' and 'lora' name adapters both", "invalid_value", param="lora")
        return await host.catalogue.by_numbers(_scales(lora))
    if model:
        return host.names.selection(model)
    if scales := host.scales.get(tenant.name):
        return await host.catalogue.by_numbers(scales)
    return tenant.default or host.options.default


def _scales(lora: Sequence[tuple[int, float]]) -> Mapping[int, float]:
    scales = dict(lora)
    if len(scales) < len(lora):
        raise ApiError(400, "an id is named twice", "invalid_value", param="lora")
    return scales


async def _known(host: Host, tenant: Tenant, text: str) -> Choice:
    try:
        resolved = await host.catalogue.resolve(text)
        await host.ensure_loaded(resolved.files)
    except _CANNOT_BE_LOADED as error:
        if tenant.when_missing == "error":
            raise
        why = f"the base answered, because {text} cannot be used: {without_folders(error.message)}"
        return Choice(tenant, BASE_NAME, ResolvedSelection(), why)
    return Choice(tenant, text, resolved)
