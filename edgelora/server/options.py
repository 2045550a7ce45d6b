"""How a server is set up."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.merge.options import Precision


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the operator decides. Sizes in bytes, times in seconds.

    ``keys`` are the API keys; none means that nobody needs one. ``default`` is the selection of requests that name
    none. ``bake`` are those to be served baked. ``adapter_roots`` are the folders that a request's adapter paths must
    lie in; none means no paths.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    keys: tuple[str, ...] = ()
    open_to_all: bool = False
    tenants: Path | None = None
    default: str = "base"
    template: str | None = None
    system: str = ""
    adapter_roots: tuple[Path, ...] = ()
    dynamic_adapters: bool = False
    bake: tuple[str, ...] = ()
    bake_precision: Precision = "auto"
    body_bytes: int = 8 << 20
    body_s: float = 30.0
    answer_s: float = 600.0
    stall_s: float = 60.0  # a client that takes nothing of its stream for so long has left
    most_choices: int = 16
    look_s: float = 1.0  # how often adapters and tenants on disk are looked at

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def require_safe(self) -> None:
        """Raise UsageError where anybody on the network could use it and nobody has said that they may."""
        if not (self.is_local or self.keys or self.tenants or self.open_to_all):
            raise UsageError(
                f"everybody who reaches {self.host} could use this server",
                "Give an --api-key or --tenants, or say --open-to-all if that is meant.",
            )
