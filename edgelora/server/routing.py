"""What handlers find with a request: the host, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

    from edgelora.server.host import Host
    from edgelora.server.tenants import Tenant

TENANT = "edgelora.tenant"


def host_of(request: Request) -> Host:
    """The host of the app."""
    host: Host = request.app.state.host
    return host


def tenant_of(request: Request) -> Tenant:
    """Whose request it is, as the guard has found."""
    tenant: Tenant = request.scope[TENANT]
    return tenant
