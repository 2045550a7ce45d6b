"""The selections that are to be served baked, and what answers requests for them at the moment.

The operator names them by text; what a text means changes with the library. An engine answers for a selection, by
content hashes and scales, so one whose text means something else now is never asked: until the new meaning is baked,
answers are made at run time and say so.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgelora.server.weights import Weights
from edgelora.types import BASE, Member, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edgelora.engine.client import EngineClient
    from edgelora.server.metrics import Metrics
    from edgelora.types import AttestedAdapter


@dataclass(frozen=True, slots=True)
class AtRunTime:
    """No engine of its own answers, and ``why``, in a client's words."""

    state: Literal["waiting", "baking", "opening", "run-time"]
    why: str


WAITING = AtRunTime("waiting", "it is not baked yet")
BAKING = AtRunTime("baking", "it is being baked")
OPENING = AtRunTime("opening", "its engine is being opened")


class Baked:
    """An engine of its own answers, with the adapters ``inside``; it stays until its last answer is done."""

    def __init__(self, engine: EngineClient, inside: tuple[AttestedAdapter, ...]) -> None:
        self.engine, self.inside = engine, inside
        self._uses = 0
        self._may_end = asyncio.Event()
        self._may_end.set()

    @contextmanager
    def used(self) -> Iterator[None]:
        """While an answer is made by the engine."""
        self._uses += 1
        self._may_end.clear()
        try:
            yield
        finally:
            self._uses -= 1
            if not self._uses:
                self._may_end.set()

    def hurry(self) -> None:
        """Have :meth:`close` wait for no answer."""
        self._may_end.set()

    async def close(self) -> None:
        """End the engine when its answers are done; nobody may begin another one."""
        await self._may_end.wait()
        await self.engine.close()


@dataclass(eq=False)
class Hot:
    """One selection that is to be served baked, and what answers for it ``now``."""

    text: str
    selection: Selection
    now: AtRunTime | Baked = BAKING


class HotSelections:
    """All of them. ``wanted`` gives their texts; everything else is computed at run time by ``engine``."""

    def __init__(self, engine: EngineClient, wanted: Callable[[], Iterable[str]], metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self.wanted = wanted
        self.known: dict[Selection, Hot] = {}
        self.means: dict[str, Selection] = {}  # what each text meant when somebody looked last

    def weights(self, text: str, selection: Selection) -> Weights:
        """What answers a request for ``selection``, written as ``text``; it is counted."""
        hot = self.known.get(selection)
        if not hot and text not in self.wanted():
            return Weights(self._engine, self._engine.base, selection)
        name, now = (hot.text, hot.now) if hot else (text, WAITING)
        if isinstance(now, Baked):
            self._metrics.baked_requests[name] += 1
            return Weights(now.engine, self._engine.base, BASE, now.engine.base, now.inside, used=now.used)
        self._metrics.fallen_back[name] += 1
        fallback = f"{text} was computed at run time: {now.why}"
        return Weights(self._engine, self._engine.base, selection, fallback=fallback)

    def mode(self, sha256: str | None) -> Literal["baked", "run-time"]:
        """How the adapter with this content hash is served, alone and at scale 1."""
        hot = self.known.get(Selection((Member(sha256),))) if sha256 else None
        return "baked" if hot and isinstance(hot.now, Baked) else "run-time"

    def listed(self, shows: Callable[[str], bool]) -> list[dict[str, Any]]:
        """What is wanted and how it is served, as documents; of texts that ``shows`` says so of."""
        return [_document(text, self.known.get(self.means.get(text, BASE))) for text in self.wanted() if shows(text)]

    @property
    def in_use(self) -> frozenset[str]:
        """Content hashes of the adapters that are being baked."""
        return frozenset(one for hot in self.known.values() if hot.now is BAKING for one in hot.selection.adapters)

    @property
    def baked(self) -> list[Baked]:
        """Every engine that answers."""
        return [hot.now for hot in self.known.values() if isinstance(hot.now, Baked)]


def _document(text: str, hot: Hot | None) -> dict[str, Any]:
    now = hot.now if hot else WAITING
    baked = now if isinstance(now, Baked) else None
    members = hot.selection.members if hot else ()
    return {
        "selection": text,
        "mode": "baked" if baked else "run-time",
        "state": "baked" if isinstance(now, Baked) else now.state,
        "reason": None if isinstance(now, Baked) else now.why,
        "adapters": [{"sha256": member.adapter, "scale": member.scale} for member in members],
        "weights": baked.engine.base.fingerprint if baked else None,
    }
