"""What the engine says to whoever asked, and what it says by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgelora.errors import EdgeloraError
from edgelora.types.engine import AdapterStatus, AttestedAdapter


@dataclass(frozen=True, slots=True)
class Started:
    """The request was admitted. Of its ``prompt_tokens``, ``reused_tokens`` need no computing."""

    request: str
    adapters: tuple[AttestedAdapter, ...]
    prompt_tokens: int
    reused_tokens: int


@dataclass(frozen=True, slots=True)
class Prefilling:
    """``done`` of ``total`` prompt tokens that had to be computed are computed."""

    request: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class TopToken:
    """A token that could have come: its bytes, and the logarithm of its probability before sampling."""

    token: int
    piece: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob(TopToken):
    """A token of the answer, and the likeliest at its place."""

    top: tuple[TopToken, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """More text of the answer: whole characters only, possibly several tokens' worth.

    ``logprobs``, if they were asked for, are of the tokens that this text was made of.
    """

    request: str
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a request: why, and what made the answer."""

    request: str
    reason: FinishReason
    adapters: tuple[AttestedAdapter, ...]
    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    ttft_ms: float
    tok_per_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of a request by an error."""

    request: str
    error: EdgeloraError


@dataclass(frozen=True, slots=True)
class AdapterLoaded:
    """An adapter became resident."""

    status: AdapterStatus


@dataclass(frozen=True, slots=True)
class AdapterEvicted:
    """An adapter gave its rows back."""

    sha256: str


@dataclass(frozen=True, slots=True)
class EngineDied:
    """The engine process ended by itself; every running request failed with the same error.

    ``restarting``: EngineRestarted follows, or another EngineDied if that fails. Else this is its end.
    """

    error: EdgeloraError
    restarting: bool = False


@dataclass(frozen=True, slots=True)
class EngineRestarted:
    """The engine is there again on the same base. No adapter is resident; each comes back at its next use."""


RequestEvent = Started | Prefilling | Token | Finished | Failed
EngineEvent = AdapterLoaded | AdapterEvicted | EngineDied | EngineRestarted
Event = RequestEvent | EngineEvent
