"""What all requests share: the engine, the adapters, who runs, and what is counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from edgelora.adapters.store.usage import UsageCounts
from edgelora.chat.choice import choose_template
from edgelora.errors import EdgeloraError, GGUFError, QuarantinedError
from edgelora.gguf.split import read_joined
from edgelora.server.catalogue import Catalogue
from edgelora.server.errors import as_api_error, base_unusable
from edgelora.server.heating import Heating
from edgelora.server.hot import HotSelections
from edgelora.server.metrics import Metrics
from edgelora.server.pace import Pace
from edgelora.server.selecting import ModelNames
from edgelora.types import AdapterEvicted, AdapterLoaded, EngineDied, EngineRestarted, SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.adapters.library import AdapterLibrary
    from edgelora.chat.template import ChatTemplate
    from edgelora.engine.client import EngineClient
    from edgelora.server.baking import Bakery
    from edgelora.server.errors import ApiError
    from edgelora.server.options import ServerOptions
    from edgelora.server.tenants import Tenants
    from edgelora.types import AdapterFile, Finished, Request

Sampling = Callable[[Mapping[str, float]], SamplingParams]

log = logging.getLogger("edgelora.server")


@dataclass
class Running:
    """A request that the engine has: whose, under what, and how much of its answer there is.

    ``how`` is how it ends, in the words of :meth:`Metrics.note_end`, with what was ``made``.
    """

    request: Request
    tenant: str
    adapters: tuple[str, ...] = ()
    embeds: bool = False
    pieces: int = 0
    how: str = "cancelled"
    made: Finished | None = None
    began: float = field(default_factory=time.monotonic)


class Host:
    """One server. ``sampling`` says what applies, under an adapter's card, where a request says nothing."""

    def __init__(
        self,
        engine: EngineClient,
        library: AdapterLibrary,
        sampling: Sampling,
        options: ServerOptions,
        tenants: Tenants,
        bakery: Bakery,
    ) -> None:
        self.engine, self.sampling, self.options, self.tenants = engine, sampling, options, tenants
        self.usage = UsageCounts(library.folder)
        self.made: list[Finished] = []  # answers that are not in ``usage`` yet
        self.catalogue = Catalogue(library, engine.base.path)
        self.metrics, self.pace = Metrics(), Pace()
        self.hot = HotSelections(engine, self._wanted_baked, self.metrics)
        self._heating = Heating(engine, self.hot, self.catalogue, bakery, self.metrics)
        self.running: dict[str, Running] = {}
        self.scales: dict[str, dict[int, float]] = {}  # llama-server's, for each tenant
        self.draining = False
        self._loading: dict[str, asyncio.Task[object]] = {}
        self._loaded: dict[str, Path] = {}  # where the engine will find them again
        self.engine_ended = False
        self._tasks: list[asyncio.Task[None]] = []
        base = engine.base
        self.names = ModelNames(frozenset({"base", base.name, base.path.name, base.path.stem}), options.adapter_roots)

    def start(self) -> None:
        """Begin to look after disk and engine. Call :meth:`stop` at the end."""
        works = (self._watch_library(), self._watch_tenants(), self._watch_engine(), self._heating.keep())
        self._tasks = [asyncio.create_task(work) for work in works]

    def drain(self) -> None:
        """Take nothing new."""
        self.draining = True
        self._heating.stop_baking()

    async def stop(self) -> None:
        """End that."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._heating.close()
        await self._count()

    def _wanted_baked(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.options.bake, *self.tenants.baked)))

    # --- adapters

    async def ensure_loaded(self, files: Sequence[AdapterFile]) -> None:
        """Have the engine know ``files``, each loaded once however many ask. Raises what loading raises."""
        for file in files:
            if self._loaded.get(file.sha256) == file.path:
                continue
            task = self._loading.get(file.sha256)
            if task is None:
                task = self._loading[file.sha256] = asyncio.create_task(self.engine.load(file))
                task.add_done_callback(partial(self._note_loaded, file))
            await asyncio.shield(task)

    def _note_loaded(self, file: AdapterFile, done: asyncio.Task[object]) -> None:
        self._loading.pop(file.sha256, None)
        if not done.cancelled() and not done.exception():
            self._loaded[file.sha256] = file.path

    async def template(self, carried: Sequence[str]) -> ChatTemplate:
        """The chat template of adapters that carry these. Raises TemplateError."""
        return choose_template(self.options.template, carried, self.engine.base).template

    # --- who runs

    def begin(self, running: Running) -> None:
        """A request goes to the engine."""
        self.pace.note_begin(len(self.running))
        self.running[running.request.id] = running

    def end(self, running: Running) -> None:
        """It has ended as it says, and is counted. Safe to call twice."""
        if self.running.pop(running.request.id, None):
            self.pace.note_end()
            self.metrics.note_end(running.adapters, running.how, running.made)

    def running_by_tenant(self) -> Counter[str]:
        """How many answers each tenant has under way."""
        return Counter(one.tenant for one in self.running.values())

    def failure(self, error: EdgeloraError, *, param: str | None = None) -> ApiError:
        """As as_api_error; but what is wrong with the base's own file is not the request's fault."""
        return base_unusable(error) if self._is_of_the_base(error) else as_api_error(error, param=param)

    def _is_of_the_base(self, error: EdgeloraError) -> bool:
        if isinstance(error, QuarantinedError):
            return not error.adapters
        if not isinstance(error, GGUFError):
            return False
        try:
            read_joined(self.engine.base.path)
        except GGUFError:
            return True
        return False

    # --- what happens elsewhere

    async def _watch_library(self) -> None:
        while True:
            await asyncio.sleep(self.options.look_s)
            with suppress(EdgeloraError, OSError):
                await self.catalogue.refresh(self._in_use())
            await self._count()
            self._heating.look()

    async def _watch_tenants(self) -> None:
        """Of its own: a key that is taken away does not wait until an adapter is converted."""
        said = ""
        while True:
            await asyncio.sleep(self.options.look_s)
            problem = await asyncio.to_thread(self.tenants.refresh)
            self._heating.look()
            if problem and problem != said:
                log.warning("the former tenants stay: %s", problem)
            said = problem

    def _in_use(self) -> frozenset[str]:
        running = (sha256 for one in self.running.values() for sha256 in one.request.selection.adapters)
        return frozenset({*running, *self._loading, *self.hot.in_use})

    async def _count(self) -> None:
        """Write down for the library what its adapters were used for."""
        made, self.made = self.made, []
        for one in made:
            await asyncio.to_thread(self.usage.count, one)

    async def _watch_engine(self) -> None:
        names: dict[str, str] = {}
        async for event in self.engine.events():
            match event:
                case AdapterLoaded(status):
                    names[status.sha256] = status.name
                    self.metrics.cold_loads[status.name] += 1
                case AdapterEvicted(sha256):
                    self.metrics.evictions[names.get(sha256, sha256[:12])] += 1
                case EngineRestarted():
                    self.metrics.engine_restarts += 1
                case EngineDied(error, restarting=False):
                    self.engine_ended = True
                    log.error("%s", error)
                case _:
                    pass
