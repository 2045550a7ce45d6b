"""The engine's loop: take commands, compute a step, send what happened. Runs wherever the engine lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from edgelora.engine.core import EngineCore
from edgelora.engine.failures import as_error
from edgelora.engine.messages import (
    Abandon,
    Answer,
    Cancel,
    Close,
    Command,
    Detokenize,
    Embed,
    Evict,
    Happened,
    Know,
    Load,
    Loading,
    Message,
    Opened,
    OpenFailed,
    Pin,
    Reply,
    Stats,
    Submit,
    Tokenize,
)
from edgelora.errors import AdapterTooLargeError, EdgeloraError, MemoryLimitError
from edgelora.types import EngineConfig


class Mailbox(Protocol):
    """Where commands come from and messages go to."""

    def receive(self, *, wait: bool) -> Command | None:
        """The next command; None if there is none and ``wait`` is False. A lost client counts as Close."""

    def send(self, message: Message) -> None:
        """Deliver ``message``, or drop it if the client is gone."""


def serve(config: EngineConfig, mailbox: Mailbox) -> None:
    """Open the base and serve ``mailbox`` until Close. Whatever goes wrong in here is said, never raised."""
    try:
        core = EngineCore(config, lambda progress: mailbox.send(Loading(progress)))
    except Exception as error:
        mailbox.send(OpenFailed(as_error(error)))
        return
    try:
        mailbox.send(Opened(core.base))
        _Service(core, mailbox).run()
    finally:
        core.close()


class _Service:
    def __init__(self, core: EngineCore, mailbox: Mailbox) -> None:
        self._core, self._mailbox = core, mailbox
        self._waiting_evictions: list[Evict] = []
        self._waiting_loads: list[Load] = []

    def run(self) -> None:
        while True:
            for command in self._commands():
                if isinstance(command, Close):
                    return
                self._handle(command)
            if events := self._core.step():
                self._mailbox.send(Happened(tuple(events)))
            self._embed()
            self._waiting_loads = [load for load in self._waiting_loads if not self._loaded(load)]
            self._waiting_evictions = [evict for evict in self._waiting_evictions if not self._evicted(evict)]

    def _commands(self) -> Iterator[Command]:
        """All that has come in; waits for a command only while there is nothing to compute."""
        command = self._mailbox.receive(wait=not (self._core.busy or self._waiting_loads or self._core.embedder.busy))
        while command is not None:
            yield command
            command = self._mailbox.receive(wait=False)

    def _handle(self, command: Command) -> None:
        match command:
            case Submit(request):
                self._core.submit(request)
            case Cancel(request):
                self._core.cancel(request)
            case Load():
                if not self._loaded(command):
                    self._waiting_loads.append(command)
            case Pin(call, sha256, pinned):
                self._answer(call, lambda: self._core.pin(sha256, pinned))
            case Stats(call):
                self._answer(call, self._core.stats)
            case Know(adapter, status, pinned):
                self._core.know(adapter, status, pinned=pinned)
            case Evict():
                self._waiting_evictions.append(command)
            case Tokenize() | Detokenize() | Embed() | Abandon():
                self._read(command)

    def _read(self, command: Tokenize | Detokenize | Embed | Abandon) -> None:
        if isinstance(command, Abandon):
            self._core.embedder.abandon(command.call)
            return
        if not isinstance(command, Embed):
            self._answer(command.call, lambda: self._of_vocabulary(command))
            return
        try:
            self._core.embedder.submit(command.call, command.tokens, command.selection)
        except Exception as error:
            self._mailbox.send(Reply(command.call, error=as_error(error)))

    def _embed(self) -> None:
        """Compute a piece of what is to be embedded, if anything is."""
        if not self._core.embedder.busy:
            return
        match self._core.embedder.step(beside_answers=self._core.busy):
            case (call, EdgeloraError() as error):
                self._mailbox.send(Reply(call, error=error))
            case (call, embedding):
                self._mailbox.send(Reply(call, embedding))

    def _of_vocabulary(self, command: Tokenize | Detokenize) -> Answer:
        match command:
            case Tokenize(_, text, parse_special, add_special):
                return self._core.tokenize(text, parse_special=parse_special, add_special=add_special)
            case Detokenize(_, tokens):
                return self._core.detokenize(tokens)

    def _answer(self, call: int, compute: Callable[[], Answer]) -> None:
        try:
            self._mailbox.send(Reply(call, compute()))
        except Exception as error:
            self._mailbox.send(Reply(call, error=as_error(error)))

    def _loaded(self, load: Load) -> bool:
        """Is ``load`` answered? Not while its file is being read, or answers that are being made use the room."""
        try:
            status = self._core.try_load(load.adapter)
        except Exception as error:
            in_the_way = isinstance(error, MemoryLimitError) and not isinstance(error, AdapterTooLargeError)
            if in_the_way and self._core.residency.n_used:
                return False
            self._mailbox.send(Reply(load.call, error=as_error(error)))
            return True
        if status:
            self._mailbox.send(Reply(load.call, status))
        return status is not None

    def _evicted(self, evict: Evict) -> bool:
        done = self._core.evict(evict.sha256)
        if done:
            self._mailbox.send(Reply(evict.call))
        return done
