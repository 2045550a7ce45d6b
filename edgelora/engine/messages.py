"""What a client and its engine say to each other. Every message is a frozen, picklable value.

A call carries a number; its answer is a Reply with the same number. Events come unasked.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgelora.errors import EdgeloraError
from edgelora.types import AdapterFile, AdapterStatus, BaseInfo, EngineStats, Event, Progress, Request, Selection


@dataclass(frozen=True, slots=True)
class Submit:
    """Queue a request; its events follow."""

    request: Request


@dataclass(frozen=True, slots=True)
class Cancel:
    """End a request."""

    request: str


@dataclass(frozen=True, slots=True)
class Load:
    """Make an adapter resident; answered with its AdapterStatus."""

    call: int
    adapter: AdapterFile


@dataclass(frozen=True, slots=True)
class Know:
    """An adapter that a former engine had loaded; it is loaded when a request needs it."""

    adapter: AdapterFile
    status: AdapterStatus
    pinned: bool


@dataclass(frozen=True, slots=True)
class Evict:
    """Give an adapter's memory back; answered once nobody uses it."""

    call: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Pin:
    """Keep an adapter from being evicted to make room, or no longer."""

    call: int
    sha256: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class Stats:
    """Answered with the EngineStats of this moment."""

    call: int


@dataclass(frozen=True, slots=True)
class Tokenize:
    """Answered with token ids."""

    call: int
    text: str
    parse_special: bool
    add_special: bool


@dataclass(frozen=True, slots=True)
class Detokenize:
    """Answered with bytes."""

    call: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Embed:
    """Answered with the embedding of a text."""

    call: int
    tokens: tuple[int, ...]
    selection: Selection


@dataclass(frozen=True, slots=True)
class Abandon:
    """Nobody waits for an embedding any more."""

    call: int


@dataclass(frozen=True, slots=True)
class Close:
    """End everything; the engine says no more afterwards."""


Command = Submit | Cancel | Load | Know | Evict | Pin | Stats | Tokenize | Detokenize | Embed | Abandon | Close
Answer = AdapterStatus | EngineStats | tuple[int, ...] | tuple[float, ...] | bytes | None


@dataclass(frozen=True, slots=True)
class Opened:
    """The base is open."""

    base: BaseInfo


@dataclass(frozen=True, slots=True)
class OpenFailed:
    """The base could not be opened; the engine says no more."""

    error: EdgeloraError


@dataclass(frozen=True, slots=True)
class Loading:
    """How far opening the base is."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call: a value, or the error that it failed with."""

    call: int
    value: Answer = None
    error: EdgeloraError | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """What a step brought, together: every message wakes the client, on cores that the next step computes with."""

    events: tuple[Event, ...]


Message = Opened | OpenFailed | Loading | Reply | Happened
