"""What the chat is started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.adapters.selection import BASE_NAME

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edgelora.adapters.library import AdapterLibrary
    from edgelora.engine.client import EngineClient
    from edgelora.types import BaseInfo, ReportProgress, SamplingParams


@dataclass(frozen=True, slots=True)
class ChatSetup:
    """Everything the chat needs, not opened yet, so that its first frame waits for nothing.

    ``open_engine`` is called again when the engine died; ``open_library`` once, in a thread. ``selection`` is the
    text form of what to begin with. ``is_demo``: the base is the embedded demo's.
    """

    base: Path
    open_engine: Callable[[ReportProgress], Awaitable[EngineClient]]
    open_library: Callable[[], AdapterLibrary]
    sampling: Callable[[BaseInfo], SamplingParams]
    selection: str = BASE_NAME
    template: str | None = None
    system: str = ""
    is_demo: bool = False
