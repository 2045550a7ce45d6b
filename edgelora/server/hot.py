"""Selections that are served baked, each by an engine of its own; everything else is computed at run time.

The operator names them by text; what a text means changes with the library. An engine answers for a selection, by
content hashes and scales, so one whose text means something else now is never asked: until the new meaning is baked,
answers are made at run time and say so.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgelora.engine.failures import as_error
from edgelora.errors import EdgeloraError, MemoryLimitError
from edgelora.merge.options import Member
from edgelora.server.baking import StoppedError, UnverifiedError
from edgelora.server.weights import Weights
from edgelora.types import BASE, AttestedAdapter, EngineDied, EngineRestarted, Selection
from edgelora.types import Member as SelectedMember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from edgelora.chat.resolved import ResolvedSelection
    from edgelora.engine.client import EngineClient
    from edgelora.server.baking import Bakery
    from edgelora.server.catalogue import Catalogue
    from edgelora.server.metrics import Metrics

State = Literal["baking", "opening", "baked", "run-time"]
NOT_YET = "it is not baked yet"
_WHY: tuple[tuple[type[EdgeloraError], str], ...] = (
    (UnverifiedError, "its baked base did not pass its verification"),
    (MemoryLimitError, "memory does not allow an engine of its own"),
)

log = logging.getLogger("edgelora.server")


@dataclass(eq=False)
class Hot:
    """One selection that is to be served baked. ``why`` it is not, in a client's words; ``engine`` where it is."""

    text: str
    selection: Selection
    inside: tuple[AttestedAdapter, ...]
    state: State = "baking"
    why: str = "it is being baked"
    engine: EngineClient | None = None
    watching: asyncio.Task[None] | None = None
    _uses: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def used(self) -> Iterator[None]:
        """While an answer is made by the engine."""
        self._uses += 1
        try:
            yield
        finally:
            self._uses -= 1
            if not self._uses:
                self._idle.set()

    def refuse(self, error: EdgeloraError) -> None:
        """It is not served baked, because of ``error``."""
        other = "it could not be baked" if self.state == "baking" else "its engine has failed"
        self.state, self.why = "run-time", next((why for kind, why in _WHY if isinstance(error, kind)), other)
        log.warning("%s is computed at run time: %s (%s)", self.text, self.why, error)

    async def close(self, *, at_once: bool = False) -> None:
        """Ask the engine nothing any more, and end it when its answers are done, or ``at_once``."""
        engine, self.engine = self.engine, None
        if engine is None:
            return
        try:
            while self._uses and not at_once:
                self._idle.clear()
                await self._idle.wait()
        finally:
            await engine.close()


class HotSelections:
    """All of them on ``engine``'s base. ``wanted`` gives their texts; ``bakery`` is asked for one after the other."""

    def __init__(
        self,
        engine: EngineClient,
        catalogue: Catalogue,
        wanted: Callable[[], Iterable[str]],
        bakery: Bakery,
        metrics: Metrics,
    ) -> None:
        self._engine, self._catalogue, self._bakery, self._metrics = engine, catalogue, bakery, metrics
        self._wanted = wanted
        self._hot: dict[Selection, Hot] = {}
        self._means: dict[str, Selection] = {}  # what each text meant when somebody looked last
        self._changed = asyncio.Event()
        self._seen: tuple[object, ...] = ()

    # --- for requests

    def weights(self, text: str, selection: Selection) -> Weights:
        """What answers a request for ``selection``, written as ``text``; it is counted."""
        hot = self._hot.get(selection)
        if hot and hot.engine:
            self._metrics.baked_requests[hot.text] += 1
            return Weights(hot.engine, self._engine.base, BASE, hot.engine.base, hot.inside, used=hot.used)
        why = hot.why if hot else NOT_YET if text in self._wanted() else ""
        if not why:
            return Weights(self._engine, self._engine.base, selection)
        self._metrics.fallen_back[hot.text if hot else text] += 1
        fallback = f"{text} was computed at run time: {why}"
        return Weights(self._engine, self._engine.base, selection, fallback=fallback)

    def mode(self, sha256: str | None) -> Literal["baked", "run-time"]:
        """How the adapter with this content hash is served, alone and at scale 1."""
        hot = self._hot.get(Selection((SelectedMember(sha256),))) if sha256 else None
        return "baked" if hot and hot.engine else "run-time"

    def listed(self, shows: Callable[[str], bool]) -> list[dict[str, Any]]:
        """What is wanted and how it is served, as documents; of texts that ``shows`` says so of."""
        return [_document(text, self._hot.get(self._means.get(text, BASE))) for text in self._wanted() if shows(text)]

    @property
    def in_use(self) -> frozenset[str]:
        """Content hashes of the adapters that are being baked."""
        return frozenset(
            sha256 for hot in self._hot.values() if hot.state == "baking" for sha256 in hot.selection.adapters
        )

    # --- what is wanted

    def look(self) -> None:
        """Have it noticed that texts, or what they mean, may have changed."""
        seen = (self._catalogue.changes, *self._wanted())
        if seen != self._seen:
            self._seen = seen
            self._changed.set()

    async def keep(self) -> None:
        """Bring about what is wanted, and again whenever that changes, until this is cancelled."""
        self.look()
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._bring_about()

    def stop_baking(self) -> None:
        """The server ends: what is baked goes on to be served, nothing else will be."""
        self._bakery.stop()

    async def close(self) -> None:
        """End every engine at once, and what is baked. Call it when :meth:`keep` has ended."""
        self._bakery.stop()
        await asyncio.gather(*(self._let_go(hot, at_once=True) for hot in self._hot.values()))
        self._hot.clear()

    async def _bring_about(self) -> None:
        meant = await self._meant()
        for selection in [one for one in self._hot if one not in meant]:
            hot = self._hot.pop(selection)
            await self._let_go(hot)
            log.info("%s is another version, or not wanted, now: the engine of the former one has ended", hot.text)
        for selection, (text, resolved) in meant.items():
            if self._changed.is_set():
                return  # a bake takes long: first look what is wanted now
            if selection not in self._hot:
                await self._make(Hot(text, selection, _inside(resolved)), _members(resolved))

    async def _meant(self) -> dict[Selection, tuple[str, ResolvedSelection]]:
        meant: dict[Selection, tuple[str, ResolvedSelection]] = {}
        means: dict[str, Selection] = {}
        for text in self._wanted():
            try:
                resolved = await self._catalogue.resolve(text)
            except (EdgeloraError, OSError) as error:
                log.warning("%s cannot be baked: %s", text, error)
                continue
            if not resolved.selection.is_base:
                meant.setdefault(resolved.selection, (text, resolved))
                means[text] = resolved.selection
        self._means = means
        return meant

    async def _make(self, hot: Hot, members: Sequence[Member]) -> None:
        self._hot[hot.selection] = hot
        try:
            path = await self._bakery.bake(hot.text, members)
            hot.state, hot.why = "opening", "its engine is being opened"
            engine = await self._opened(path, hot.selection)
        except StoppedError:
            hot.state, hot.why = "run-time", NOT_YET
        except Exception as error:
            hot.refuse(as_error(error))
        else:
            hot.engine, hot.state, hot.why = engine, "baked", ""
            hot.watching = asyncio.create_task(self._watch(hot, engine))
            log.info("%s is served baked", hot.text)

    async def _opened(self, path: Path, selection: Selection) -> EngineClient:
        engine = await self._bakery.open(
            path, [self._engine, *(hot.engine for hot in self._hot.values() if hot.engine)]
        )
        inside = engine.base.baked[len(self._engine.base.baked) :]  # beyond what the server's own base has
        if Selection.of(SelectedMember(one.sha256, one.scale) for one in inside) != selection:
            await engine.close()
            raise UnverifiedError(f"{path} says that other adapters are baked into it", "Clear the cache.")
        return engine

    async def _watch(self, hot: Hot, engine: EngineClient) -> None:
        async for event in engine.events():
            if isinstance(event, EngineRestarted):
                self._metrics.engine_restarts += 1
            elif isinstance(event, EngineDied) and not event.restarting:
                hot.refuse(event.error)
                await hot.close()

    async def _let_go(self, hot: Hot, *, at_once: bool = False) -> None:
        await hot.close(at_once=at_once)
        if hot.watching:
            hot.watching.cancel()
            await asyncio.gather(hot.watching, return_exceptions=True)


def _members(resolved: ResolvedSelection) -> list[Member]:
    """What to bake, in the order in which an engine attests a selection."""
    files = {file.sha256: file for file in resolved.files}
    chosen = ((files[member.adapter], member.scale) for member in resolved.selection.members)
    return [Member(file.path, scale, file.name) for file, scale in chosen]


def _inside(resolved: ResolvedSelection) -> tuple[AttestedAdapter, ...]:
    """What attests an answer; a file from the cache may know the same adapters by other names."""
    names = {file.sha256: file.name for file in resolved.files}
    return tuple(AttestedAdapter(names[one.adapter], one.adapter, one.scale) for one in resolved.selection.members)


def _document(text: str, hot: Hot | None) -> dict[str, Any]:
    members = hot.selection.members if hot else ()
    return {
        "selection": text,
        "mode": "baked" if hot and hot.engine else "run-time",
        "state": hot.state if hot else "waiting",
        "reason": (hot.why if hot else NOT_YET) or None,
        "adapters": [{"sha256": member.adapter, "scale": member.scale} for member in members],
        "weights": hot.engine.base.fingerprint if hot and hot.engine else None,
    }
