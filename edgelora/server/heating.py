"""Brings about that hot selections are served baked: bakes, opens and ends engines as texts and the library change."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from edgelora.engine.failures import as_error
from edgelora.errors import EdgeloraError, MemoryLimitError
from edgelora.merge.options import MergeMember
from edgelora.server.baking import StoppedError, UnverifiedError
from edgelora.server.hot import OPENING, WAITING, AtRunTime, Baked, Hot
from edgelora.types import AttestedAdapter, EngineDied, EngineRestarted, Member, Selection

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.chat.resolved import ResolvedSelection
    from edgelora.engine.client import EngineClient
    from edgelora.server.baking import Bakery
    from edgelora.server.catalogue import Catalogue
    from edgelora.server.hot import HotSelections
    from edgelora.server.metrics import Metrics

_WHY: tuple[tuple[type[EdgeloraError], str], ...] = (
    (UnverifiedError, "its baked base did not pass its verification"),
    (MemoryLimitError, "memory does not allow an engine of its own"),
)

log = logging.getLogger("edgelora.server")


class Heating:
    """Looks after ``hot`` beside the server's own ``engine``; ``bakery`` is asked for one after the other."""

    def __init__(
        self, engine: EngineClient, hot: HotSelections, catalogue: Catalogue, bakery: Bakery, metrics: Metrics
    ) -> None:
        self._engine, self._hot, self._catalogue = engine, hot, catalogue
        self._bakery, self._metrics = bakery, metrics
        self._watching: dict[Baked, asyncio.Task[None]] = {}
        self._ending: dict[Baked, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._seen: tuple[object, ...] = ()

    def look(self) -> None:
        """Have it noticed that texts, or what they mean, may have changed."""
        seen = (self._catalogue.changes, *self._hot.wanted())
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
        for baked in self._hot.baked:
            self._let_go(baked)
        self._hot.known.clear()
        for baked in self._ending:
            baked.hurry()
        await asyncio.gather(*self._ending.values(), return_exceptions=True)

    async def _bring_about(self) -> None:
        meant = await self._meant()
        for selection in [one for one in self._hot.known if one not in meant]:
            hot = self._hot.known.pop(selection)
            log.info("%s is another version, or not wanted, now", hot.text)
            if isinstance(hot.now, Baked):
                self._let_go(hot.now)
        for selection, (text, resolved) in meant.items():
            if self._changed.is_set():
                return  # a bake takes long: first look what is wanted now
            if selection not in self._hot.known:
                await self._make(Hot(text, selection), resolved)

    async def _meant(self) -> dict[Selection, tuple[str, ResolvedSelection]]:
        meant: dict[Selection, tuple[str, ResolvedSelection]] = {}
        means: dict[str, Selection] = {}
        for text in self._hot.wanted():
            try:
                resolved = await self._catalogue.resolve(text)
            except (EdgeloraError, OSError) as error:
                log.warning("%s cannot be baked: %s", text, error)
                continue
            if not resolved.selection.is_base:
                meant.setdefault(resolved.selection, (text, resolved))
                means[text] = resolved.selection
        self._hot.means = means
        return meant

    async def _make(self, hot: Hot, resolved: ResolvedSelection) -> None:
        self._hot.known[hot.selection] = hot
        try:
            path = await self._bakery.bake(hot.text, _members(resolved))
            hot.now = OPENING
            engine = await self._opened(path, hot.selection)
        except StoppedError:
            hot.now = AtRunTime("run-time", WAITING.why)
        except Exception as error:
            _refuse(hot, as_error(error), "its engine has failed" if hot.now is OPENING else "it could not be baked")
        else:
            hot.now = baked = Baked(engine, _inside(resolved))
            self._watching[baked] = asyncio.create_task(self._watch(hot, baked))
            log.info("%s is served baked", hot.text)

    async def _opened(self, path: Path, selection: Selection) -> EngineClient:
        engine = await self._open(path)
        inside = engine.base.baked[len(self._engine.base.baked) :]  # beyond what the server's own base has
        if Selection.of(Member(one.sha256, one.scale) for one in inside) != selection:
            await engine.close()
            raise UnverifiedError(f"{path} says that other adapters are baked into it", "Clear the cache.")
        return engine

    async def _open(self, path: Path) -> EngineClient:
        """An engine beside all others; where these leave no memory, when one that is ending has ended."""
        while True:
            ending = dict(self._ending)
            beside = [baked.engine for baked in (*self._hot.baked, *ending)]
            try:
                return await self._bakery.open(path, [self._engine, *beside])
            except MemoryLimitError:
                if not ending:
                    raise
                await asyncio.wait(ending.values(), return_when=asyncio.FIRST_COMPLETED)

    async def _watch(self, hot: Hot, baked: Baked) -> None:
        async for event in baked.engine.events():
            if isinstance(event, EngineRestarted):
                self._metrics.engine_restarts += 1
            elif isinstance(event, EngineDied) and not event.restarting:
                _refuse(hot, event.error, "its engine has failed")
                self._let_go(baked)

    def _let_go(self, baked: Baked) -> None:
        """Ask it nothing any more. It ends beside what comes after it: a long answer holds up nobody."""
        if baked not in self._ending:
            self._ending[baked] = asyncio.create_task(self._end(baked))

    async def _end(self, baked: Baked) -> None:
        try:
            await baked.close()
        finally:
            del self._ending[baked]
            watching = self._watching.pop(baked)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def _refuse(hot: Hot, error: EdgeloraError, other: str) -> None:
    """It is not served baked, because of ``error``; ``other`` says so where its kind says nothing to a client."""
    hot.now = AtRunTime("run-time", next((why for kind, why in _WHY if isinstance(error, kind)), other))
    log.warning("%s is computed at run time: %s (%s)", hot.text, hot.now.why, error)


def _members(resolved: ResolvedSelection) -> list[MergeMember]:
    """What to bake, in the order in which an engine attests a selection."""
    files = {file.sha256: file for file in resolved.files}
    chosen = ((files[member.adapter], member.scale) for member in resolved.selection.members)
    return [MergeMember(file.path, scale, file.name) for file, scale in chosen]


def _inside(resolved: ResolvedSelection) -> tuple[AttestedAdapter, ...]:
    """What attests an answer; a file from the cache may know the same adapters by other names."""
    names = {file.sha256: file.name for file in resolved.files}
    return tuple(AttestedAdapter(names[one.adapter], one.adapter, one.scale) for one in resolved.selection.members)
