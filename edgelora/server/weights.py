"""Which weights answer a request: the base with adapters at run time, or a base that they are baked into."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgelora.engine.client import EngineClient
    from edgelora.types import AttestedAdapter, BaseInfo, Selection


@dataclass(frozen=True, slots=True)
class Weights:
    """``engine`` answers, ``selection`` is what to ask it for. ``base`` is the server's.

    ``baked`` is what the engine has open instead, with the adapters ``inside``; None at run time. ``fallback`` says why
    the answer is not made as it was to be. ``used`` is entered while one is made, so that the engine stays.
    """

    engine: EngineClient
    base: BaseInfo
    selection: Selection
    baked: BaseInfo | None = None
    inside: tuple[AttestedAdapter, ...] = ()
    fallback: str = ""
    used: Callable[[], AbstractContextManager[None]] = nullcontext

    def attested(self, adapters: tuple[AttestedAdapter, ...]) -> tuple[AttestedAdapter, ...]:
        """What an answer was computed with, where the engine says ``adapters``."""
        return self.inside if self.baked else adapters
