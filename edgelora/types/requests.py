"""What is asked of the engine: under which adapters, sampled how."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgelora.errors import UsageError
from edgelora.types.limits import require

SCALE_DIGITS = 4
"""User scales are rounded to this many decimals, so that equal requests compare equal."""

LARGEST_SCALE = 10.0
"""Beyond this an adapter drowns the base, and activations may leave the range of F16."""


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One adapter of a selection: its content hash (SHA-256, hex) and the user's scale."""

    adapter: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The set of adapters a sequence runs under, in canonical form; empty means the base.

    Canonical means sorted by hash, without members of scale 0, scales rounded: two selections that compute
    the same compare equal, which is what makes a selection a key for KV, masks and attestation.
    Build it with :meth:`of`.
    """

    members: tuple[Member, ...] = ()

    @classmethod
    def of(cls, members: Iterable[Member]) -> Selection:
        """The canonical selection of ``members``. Raises UsageError on a duplicate or a scale that is no number."""
        scales: dict[str, float] = {}
        for member in members:
            if not abs(member.scale) <= LARGEST_SCALE:
                raise UsageError(f"the scale {member.scale} is out of range", "Choose one from -10 to 10.")
            if member.adapter in scales:
                raise UsageError("the same adapter is named twice in one selection", "Give it one scale.")
            scales[member.adapter] = round(member.scale, SCALE_DIGITS)
        return cls(tuple(Member(adapter, scale) for adapter, scale in sorted(scales.items()) if scale != 0.0))

    @property
    def is_base(self) -> bool:
        """Is it the base alone?"""
        return not self.members

    @property
    def adapters(self) -> tuple[str, ...]:
        """The content hashes of its members."""
        return tuple(member.adapter for member in self.members)


BASE = Selection()


LARGEST_SEED = 2**32 - 1
"""Seeds are below this; llama.cpp takes it to mean a random one (LLAMA_DEFAULT_SEED, llama.h)."""


MOST_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen and when to stop. ``temperature`` 0 is greedy; ``seed`` None is random."""

    max_tokens: int | None = None  # None: until the context is full; 0: prefill only
    temperature: float = 0.7
    top_k: int = 40  # 0: off
    top_p: float = 0.95  # 1: off
    min_p: float = 0.05  # 0: off
    repeat_penalty: float = 1.0  # 1: off; this and the next two over the last 64 tokens
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()  # token ids and what is added to their logits
    grammar: str | None = None  # GBNF, the start rule is "root"
    logprobs: int | None = None  # how many of the likeliest tokens to tell beside each; None: tell nothing
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()  # end an answer beside those that the base knows as its ends

    def __post_init__(self) -> None:
        limits = (
            ("max_tokens", self.max_tokens is None or self.max_tokens >= 0, "0 or more"),
            ("temperature", math.isfinite(self.temperature) and self.temperature >= 0, "0 or more"),
            ("top_k", self.top_k >= 0, "0 (off) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p <= 1, "between 0 and 1"),
            ("repeat_penalty", math.isfinite(self.repeat_penalty) and self.repeat_penalty > 0, "above 0"),
            ("frequency_penalty", -2 <= self.frequency_penalty <= 2, "between -2 and 2"),
            ("presence_penalty", -2 <= self.presence_penalty <= 2, "between -2 and 2"),
            ("logit_bias", all(-100 <= bias <= 100 for _, bias in self.logit_bias), "between -100 and 100 each"),
            ("logprobs", self.logprobs is None or 0 <= self.logprobs <= MOST_LOGPROBS, f"0 to {MOST_LOGPROBS}"),
            ("seed", self.seed is None or 0 <= self.seed < LARGEST_SEED, "between 0 and 4294967294"),
            ("stop", all(self.stop), "a list of strings that are not empty"),
        )
        require(self, limits)


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """A GGUF adapter on disk: the name people know it by, and the SHA-256 of its bytes, its identity."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Request:
    """One generation. ``tokens`` is the whole prompt; ``id`` is unique within an engine.

    Requests of different ``client`` take turns. ``deadline_s`` seconds after it was submitted the request fails with
    DeadlineError. A ``background`` request is computed while nothing else is, and cancelled where it is in the way.
    """

    id: str
    tokens: tuple[int, ...]
    selection: Selection = BASE
    sampling: SamplingParams = field(default_factory=SamplingParams)
    client: str = ""
    deadline_s: float | None = None
    background: bool = False

    def __post_init__(self) -> None:
        deadline = self.deadline_s is None or (math.isfinite(self.deadline_s) and self.deadline_s >= 0)
        require(self, (("deadline_s", deadline, "0 or more seconds"),))
