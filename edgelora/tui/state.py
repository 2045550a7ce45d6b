"""The one place of the chat's state. Widgets show it; only the conductor and the app change it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edgelora.tui.metering import Meter
from edgelora.tui.picks import made_by_label
from edgelora.tui.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.chat.tree import Exchange
    from edgelora.tui.picks import Pick
    from edgelora.types import AdapterStatus, BaseInfo, Progress

Phase = Literal["opening", "ready", "answering", "rereading", "down"]
"""``down``: there is no engine, because it could not be opened or died."""

TINTS = 6
"""How many colours tell adapters apart; styles.tcss has one rule for each."""


@dataclass(frozen=True)
class Warmth:
    """How far the conversation is read ahead under ``pick``, which a person looks at in the picker."""

    pick: Pick
    ready: bool = False
    done: int = 0
    total: int = 0  # 0: it is not known yet

    @property
    def label(self) -> str:
        """``ready``, or how far it is."""
        if self.ready:
            return "ready"
        return f"reading {100 * self.done // self.total} %" if self.total else "loading"


@dataclass
class ChatState:
    """What is loaded, picked and going on.

    ``active`` is what the next message is answered with; ``settled`` what the conversation was last computed under.
    ``loaded`` is keyed by content hash, as is ``prepared``, what gave its rows back and is kept in memory, latest last;
    ``problems``, why loading failed, too (by name for an adapter not converted yet). ``baked`` is what is baked into
    the base that answers, then the same as ``active``; ``baking`` what is being baked in beside it. ``columns`` are
    what the next message is compared under, empty for one answer; ``compared`` what was so last. ``editing`` is what
    the text in the composer will be sent instead of; ``earlier`` the title of the latest conversation that is kept.
    """

    phase: Phase = "opening"
    base: BaseInfo | None = None
    folder: Path | None = None
    entries: tuple[AdapterEntry, ...] = ()
    active: Pick = ()
    settled: Pick = ()
    loaded: dict[str, AdapterStatus] = field(default_factory=dict)
    prepared: dict[str, AdapterStatus] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    context_used: int = 0
    editing: Exchange | None = None
    earlier: str = ""
    baked: Pick = ()
    baking: Pick = ()
    columns: tuple[Pick, ...] = ()
    compared: tuple[Pick, ...] = ()
    baking_progress: Progress | None = None
    warm: Warmth | None = None
    fresh: set[str] = field(default_factory=set)  # adapters that have appeared while the chat is open
    keys: Mapping[str, str] = field(default_factory=dict)  # of the bindings that texts name, and of those of one's own
    meter: Meter = field(default_factory=Meter)
    remembered: Remembered = field(default_factory=Remembered)

    def key(self, binding: str) -> str:
        """The first of the keys of a binding of the app, as texts name it: ``Ctrl+R``."""
        parts = self.keys[binding].split(",")[0].strip().split("+")
        return "+".join({"escape": "Esc"}.get(part, part.capitalize()) for part in parts)

    def entry(self, name: str) -> AdapterEntry | None:
        """The adapter of that name."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def problem(self, entry: AdapterEntry) -> str | None:
        """Why the adapter cannot be used, if it cannot."""
        return entry.problem or self.problems.get(entry.sha256 or entry.name)

    def status(self, entry: AdapterEntry) -> AdapterStatus | None:
        """What the engine found out about the adapter, while it has it in memory."""
        return self.loaded.get(entry.sha256 or "") or self.prepared.get(entry.sha256 or "")

    def note_loaded(self, status: AdapterStatus) -> None:
        """The engine made an adapter resident."""
        self.prepared.pop(status.sha256, None)
        self.loaded[status.sha256] = status

    def note_evicted(self, sha256: str, n_prepared: int) -> None:
        """An adapter gave its rows back; the engine keeps the latest ``n_prepared`` of such adapters in memory."""
        status = self.loaded.pop(sha256, None)
        if status:
            self.prepared[sha256] = status
        for gone in list(self.prepared)[: max(0, len(self.prepared) - n_prepared)]:
            del self.prepared[gone]

    def note_engine_gone(self) -> None:
        """Nothing is in memory any more."""
        self.loaded.clear()
        self.prepared.clear()
        self.warm = None

    def label(self, pick: Pick) -> str:
        """What an answer under ``pick`` is made by; adapters in the weights of the base are named too."""
        beside = () if pick == self.baked else pick
        return made_by_label(beside, self.base.baked if self.base else ())

    def tint(self, names: list[str]) -> int | None:
        """Which colour stands for an answer made by ``names``: the first one's; None for the base."""
        positions = [i for i, entry in enumerate(self.entries) if {entry.name, entry.full_name} & set(names[:1])]
        return positions[0] % TINTS if positions else None
