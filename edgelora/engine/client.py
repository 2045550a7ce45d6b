"""The one interface through which chat, server, command line and benchmarks talk to an engine.

The engine takes tokens and selections by content hash; templates and names are its callers' business.
The engine behind it lives in a process of its own (:mod:`edgelora.engine.process`, the default), which is replaced when
it dies (:mod:`edgelora.engine.supervised`), or in a thread of this one (:mod:`edgelora.engine.local`, for tests).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from edgelora.types import (
    AdapterFile,
    AdapterStatus,
    BaseInfo,
    EngineConfig,
    EngineEvent,
    EngineStats,
    ReportProgress,
    Request,
    RequestEvent,
    Selection,
    ignore_progress,
)


class EngineClient(Protocol):
    """An engine on one base. Open it with :func:`open_engine`; every method may be called at any time."""

    @property
    def base(self) -> BaseInfo:
        """What was opened."""

    def generate(self, request: Request) -> AsyncGenerator[RequestEvent, None]:
        """Submit ``request`` and yield its events, the last of which is Finished or Failed; nothing is raised.

        Adapters of the selection must have been loaded once; evicted ones are loaded again on the way.
        Leaving the iteration early (``aclose``) cancels the request. While an engine restarts, requests wait for it.
        """

    async def cancel(self, request: str) -> None:
        """End a request within one step; it finishes with reason "cancelled". Unknown ids are ignored."""

    async def load(self, adapter: AdapterFile) -> AdapterStatus:
        """Make ``adapter`` resident and prove that it does something; waits while answers that are made use the room.

        Raises AdapterError or EngineError; QuarantinedError where it has crashed the engine twice.
        """

    async def evict(self, sha256: str) -> None:
        """Give the adapter's rows back. Waits until no sequence uses it; a later use loads it again."""

    async def pin(self, sha256: str, pinned: bool) -> None:
        """Never evict a loaded adapter to make room for others, or do so again. Raises UnknownAdapterError.

        A pinned adapter that is not resident becomes so with its next use. :meth:`evict` ends the pin.
        """

    async def stats(self) -> EngineStats:
        """Memory by part, counts and load times at this moment."""

    async def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> tuple[int, ...]:
        """The token ids of ``text``; ``parse_special`` reads ``<|im_end|>`` and its kind as one token."""

    async def detokenize(self, tokens: tuple[int, ...]) -> bytes:
        """The bytes of ``tokens``, possibly parts of characters; control tokens have none.

        Raises EngineError where one is not of the base's vocabulary.
        """

    async def embed(self, tokens: tuple[int, ...], selection: Selection) -> tuple[float, ...]:
        """The mean of the hidden states of ``tokens`` under ``selection``, normalised, [n_embd].

        Raises EngineError: UnsupportedError where the base gives none, ContextOverflowError, MemoryLimitError.
        """

    def events(self) -> AsyncIterator[EngineEvent]:
        """What happens to the engine itself, from now on; ends when the engine is closed."""

    async def close(self) -> None:
        """End the engine and free everything; what is still open fails with EngineDiedError. Safe to call twice."""


async def open_engine(
    config: EngineConfig, *, in_process: bool = False, report: ReportProgress = ignore_progress
) -> EngineClient:
    """Open the base of ``config`` and give its client, with progress of the loading.

    Raises GGUFError, MemoryLimitError or EngineError, QuarantinedError where opening it crashes twice; then nothing is
    left running.
    """
    if in_process:
        from edgelora.engine.local import start_in_thread

        return await start_in_thread(config, report)
    from edgelora.engine.process import start_process
    from edgelora.engine.supervised import SupervisedEngine

    return await SupervisedEngine(config.base, lambda: start_process(config, report)).open()
