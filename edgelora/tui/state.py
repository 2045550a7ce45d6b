"""The one place of the chat's state. Widgets show it; only the conductor and the app change it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edgelora.tui.picks import made_by_label

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.tui.picks import Pick
    from edgelora.types import AdapterStatus, BaseInfo, Progress

Phase = Literal["opening", "ready", "answering", "rereading", "down"]
"""``down``: there is no engine, because it could not be opened or died."""

TINTS = 6
"""How many colours tell adapters apart; styles.tcss has one rule for each."""


@dataclass
class ChatState:
    """What is loaded, picked and going on.

    ``active`` is what the next message is answered with; ``settled`` what the conversation was last computed under.
    ``loaded`` is keyed by content hash, ``problems``, why loading failed,
    too (by name for an adapter not converted yet). ``baked`` is what is baked into the base that answers, then the
    same as ``active``; ``baking`` what is being baked in beside it.
    """

    phase: Phase = "opening"
    base: BaseInfo | None = None
    folder: Path | None = None
    entries: tuple[AdapterEntry, ...] = ()
    active: Pick = ()
    settled: Pick = ()
    loaded: dict[str, AdapterStatus] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    context_used: int = 0
    baked: Pick = ()
    baking: Pick = ()
    baking_progress: Progress | None = None

    def entry(self, name: str) -> AdapterEntry | None:
        """The adapter of that name."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def problem(self, entry: AdapterEntry) -> str | None:
        """Why the adapter cannot be used, if it cannot."""
        return entry.problem or self.problems.get(entry.sha256 or entry.name)

    def status(self, entry: AdapterEntry) -> AdapterStatus | None:
        """What the engine found out about the adapter, while it is resident."""
        return self.loaded.get(entry.sha256 or "")

    def label(self, pick: Pick) -> str:
        """What an answer under ``pick`` is made by; adapters in the weights of the base are named too."""
        beside = () if pick == self.baked else pick
        return made_by_label(beside, self.base.baked if self.base else ())

    def tint(self, names: list[str]) -> int | None:
        """Which colour stands for an answer made by ``names``: the first one's; None for the base."""
        positions = [i for i, entry in enumerate(self.entries) if entry.name in names[:1]]
        return positions[0] % TINTS if positions else None
