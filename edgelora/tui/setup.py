"""What the chat is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgelora.adapters.selection import BASE_NAME
from edgelora.tui.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from edgelora.adapters.library import AdapterLibrary
    from edgelora.chat.history.store import History
    from edgelora.engine.client import EngineClient
    from edgelora.merge.baked import BakedBase
    from edgelora.merge.options import MergeMember
    from edgelora.merge.trade import Trade
    from edgelora.tui.bases import BaseChoice
    from edgelora.types import BaseInfo, ReportProgress, SamplingParams


@dataclass(frozen=True, slots=True)
class ChatSetup:
    """Everything the chat needs, not opened yet, so that its first frame waits for nothing.

    ``open_engine`` opens ``base``, another one that adapters were baked into, and either again when its engine died for
    good; ``open_library`` is called once, in a thread. ``bake`` blocks, says what it costs before it writes, and is
    ended by what these two functions raise.
    ``sampling`` is given the base, and what the card of an adapter says.
    ``selection`` is the text form of what to begin with; ``baked`` a base that it is baked into, to begin on.
    ``open_history`` is called in a thread, perhaps more than once; None keeps no history.
    ``is_demo``: the base is the embedded demo's. ``list_bases`` blocks; it is given paths of bases used before.
    ``theme`` wins over the remembered one; ``keys`` are binding ids and the keys that are wanted for them.
    """

    base: Path
    open_engine: Callable[[Path, ReportProgress], Awaitable[EngineClient]]
    open_library: Callable[[], AdapterLibrary]
    sampling: Callable[[BaseInfo, Mapping[str, float]], SamplingParams]
    bake: Callable[[Path, Sequence[MergeMember], ReportProgress, Callable[[Trade], None]], BakedBase]
    open_history: Callable[[], History] | None = None
    selection: str = BASE_NAME
    baked: Path | None = None
    template: str | None = None
    system: str = ""
    is_demo: bool = False
    remembered: Remembered = field(default_factory=Remembered)
    list_bases: Callable[[Sequence[str]], list[BaseChoice]] = field(default=lambda recent: [])
    theme: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
