"""What every request passes first: is it meant for this server, and whose is it?"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request

from edgelora.errors import EdgeloraError
from edgelora.server.errors import ApiError, internal_error
from edgelora.server.routing import TENANT, host_of
from edgelora.server.streaming import ClientGoneError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from edgelora.server.options import ServerOptions
    from edgelora.server.tenants import Tenant, Tenants

PUBLIC = frozenset({"/health", "/v1/health"})
"""What may be asked without a key."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
log = logging.getLogger("edgelora.server")


class Guard:
    """Finds the tenant of each request, and turns what is raised into answers.

    A server for this machine alone, without keys and not open to all, listens to nobody whom a web page has sent: the
    names in ``Host`` and ``Origin`` must be this machine's. Else any page that a person opens could ask it through
    their browser.
    """

    def __init__(self, app: ASGIApp, options: ServerOptions, tenants: Tenants) -> None:
        self._app, self._tenants = app, tenants
        self._trusts_names = not options.is_local or tenants.need_key or options.open_to_all
        self._own_names = LOCAL_NAMES | {options.host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def noting(message: Message) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            scope[TENANT] = self._tenant(Request(scope))
            await self._app(scope, receive, noting)
        except (ClientGoneError, ClientDisconnect, OSError):
            return  # nobody reads what would be said
        except ApiError as error:
            failure = error
        except EdgeloraError as error:
            failure = host_of(Request(scope)).failure(error)
        except Exception:
            log.exception("internal error at %s", scope["path"])
            failure = internal_error()
        else:
            return
        if not began:
            with suppress(OSError):
                await failure.response(scope, receive, send)

    def _tenant(self, request: Request) -> Tenant | None:
        if not self._trusts_names and not all(name in self._own_names for name in _names(request)):
            raise ApiError(403, "this server is for programs on this machine", "forbidden")
        if request.url.path in PUBLIC:
            return None
        tenant = self._tenants.who(_key(request))
        if tenant is None:
            raise ApiError(401, "a valid API key is missing", "invalid_api_key")
        return tenant


def _names(request: Request) -> list[str | None]:
    """The hosts that a request names: the one it goes to, and that of the page it comes from."""
    hosts = [f"//{request.headers.get('host', '')}"]
    if origin := request.headers.get("origin"):
        hosts.append(origin)
    try:
        return [urlsplit(host).hostname for host in hosts]
    except ValueError:  # brackets that enclose no address
        return [None]


def _key(request: Request) -> str:
    """The API key: ``Authorization: Bearer``, or llama-server's ``X-Api-Key``."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")
