"""Selections baked into the base for the server, verified, and the engines on what comes of it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from edgelora.engine.client import open_engine
from edgelora.errors import EngineDiedError, MergeError
from edgelora.merge.baked import bake_apart

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edgelora.engine.client import EngineClient
    from edgelora.merge.options import MergeMember, Precision
    from edgelora.merge.trade import Trade
    from edgelora.types import EngineConfig, Progress

SAY_EVERY_S = 10.0
"""So often the log says how far a bake is."""

log = logging.getLogger("edgelora.server")


class UnverifiedError(MergeError):
    """A baked base that is not as good as its adapters at run time, as far as this can be told."""


class StoppedError(Exception):
    """The server ends, so nothing is baked any more."""


class Bakery:
    """Bakes into the base of ``config`` and opens engines set up like it. :meth:`stop` may be called at any time."""

    def __init__(self, config: EngineConfig, precision: Precision = "auto", *, in_process: bool = False) -> None:
        self._config, self._precision, self._in_process = config, precision, in_process
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Bake nothing any more; what is being baked ends within a second and leaves nothing."""
        self._stopped.set()

    async def bake(self, text: str, members: Sequence[MergeMember]) -> Path:
        """A base that ``members`` are baked into, from the cache or made now; ``text`` names them in the log.

        Raises UnverifiedError where verification has found that part of them is lost, or could not look;
        StoppedError; and what :func:`edgelora.merge.baked.bake_apart` raises.
        """
        made = await asyncio.to_thread(
            bake_apart,
            self._config.base,
            members,
            _Reporting(text, self._stopped),
            partial(_announce, text),
            precision=self._precision,
            verify=True,
        )
        if made.verdict in (None, "failed"):
            found = "part of it is lost" if made.verdict else "nothing could be compared"
            raise UnverifiedError(f"the verification of {made.path} says that {found}", "Try another --bake-precision.")
        return made.path

    async def open(self, path: Path, beside: Iterable[EngineClient]) -> EngineClient:
        """An engine on a baked base, in a process of its own, ``beside`` the others. It takes no adapters.

        Raises MemoryLimitError where it does not fit into what they leave, and what opening a base raises.
        """
        config = replace(
            self._config,
            base=path,
            exclusive=True,  # no pool, no self-test: there is one selection
            adapter_bytes=1,
            prepared_bytes=0,
            parked_folder=None,  # that of the other engine
            reserved_bytes=await spoken_for(beside),
        )
        return await open_engine(config, in_process=self._in_process)


async def spoken_for(engines: Iterable[EngineClient]) -> int:
    """Bytes that the system calls free and ``engines`` will want: their weights, which are mapped files, and what their
    budgets allow beyond what they hold."""
    wanted = 0
    for engine in engines:
        try:
            stats = await engine.stats()
        except EngineDiedError:  # it has ended meanwhile, and wants nothing any more
            continue
        held = stats.pool_bytes + stats.prepared_bytes + stats.kv.parked_bytes
        wanted += stats.weights_bytes + max(0, stats.budget_bytes - held)
    return wanted


class _Reporting:
    """Progress for the log, in the thread that bakes. Raises StoppedError once ``stopped`` is set."""

    def __init__(self, text: str, stopped: threading.Event) -> None:
        self._text, self._stopped = text, stopped
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        if self._stopped.is_set():
            raise StoppedError
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SAY_EVERY_S
        share = f", {100 * progress.done / progress.total:.0f} %" if progress.total and progress.done else ""
        log.info("baking %s: %s%s", self._text, progress.stage, share)


def _announce(text: str, trade: Trade) -> None:
    log.info("%s: %s", text, trade.line)
