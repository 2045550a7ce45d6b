"""How many answers one request may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.server.errors import ApiError

if TYPE_CHECKING:
    from edgelora.server.host import Host


def require_few(host: Host, choices: int) -> None:
    """Raise ApiError where a request asks for more answers than one may."""
    most = host.options.most_choices
    if choices > most:
        raise ApiError(400, f"one request may ask for {most} answers, not {choices}", "invalid_value", param="n")
