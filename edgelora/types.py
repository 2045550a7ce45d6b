"""Frozen, picklable values that cross rooms. No behaviour beyond validation and canonical forms."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from edgelora.errors import EdgeloraError, UsageError

SCALE_DIGITS = 4
"""User scales are rounded to this many decimals, so that equal requests compare equal."""

LARGEST_SCALE = 10.0
"""Beyond this an adapter drowns the base, and activations may leave the range of F16."""

INACTIVE = 1e-5
"""An adapter whose probe changes the logits by less than this does nothing: that much is rounding."""


# --- what a request runs under


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
        _require(self, limits)


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
        _require(self, (("deadline_s", deadline, "0 or more seconds"),))


# --- the engine's settings and what it reports about itself

KVType = Literal["f16", "f32"]
FlashAttention = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How to open a base. ``ctx`` is the longest conversation in tokens; None takes what the base was trained
    with, at most 4096. ``pool_dtype`` is what adapters are held in; ``kv_dtype`` the cache. ``adapter_bytes`` is the
    memory for resident adapters, ``prepared_bytes`` that for others kept ready beside them; ``parked_bytes`` that for
    conversations saved when the cache needs their room, which go on to ``parked_folder``, if there is one."""

    base: Path
    ctx: int | None = None
    threads: int | None = None  # None: the machine's physical cores; one for a tiny base
    gpu_layers: int = 0
    max_sequences: int = 16
    max_waiting: int = 256  # requests beyond those that run; more are refused
    batch: int = 144  # tokens a step: a piece of a prompt, and one for each answer; one llama.cpp ubatch
    kv_dtype: KVType = "f16"
    pool_dtype: KVType = "f16"
    flash_attention: FlashAttention = "auto"
    adapter_bytes: int | None = None  # None: a quarter of what is free once the base is open
    prepared_bytes: int | None = None  # None: as much as adapter_bytes, at most a quarter of what is free
    parked_bytes: int | None = None  # None: a quarter of what is free, at most 1 GiB
    parked_folder: Path | None = None
    exclusive: bool = False  # never use the pool; for tests and comparison

    def __post_init__(self) -> None:
        limits = (
            ("ctx", self.ctx is None or 32 <= self.ctx <= 2**24, "at least 32"),
            ("threads", self.threads is None or 1 <= self.threads <= 512, "between 1 and 512"),
            ("gpu_layers", 0 <= self.gpu_layers <= 10_000, "0 or more"),
            ("max_sequences", 1 <= self.max_sequences <= 200, "between 1 and 200"),
            ("max_waiting", self.max_waiting >= 1, "1 or more"),
            ("adapter_bytes", self.adapter_bytes is None or self.adapter_bytes > 0, "more than 0"),
            ("prepared_bytes", self.prepared_bytes is None or self.prepared_bytes >= 0, "0 or more"),
            ("parked_bytes", self.parked_bytes is None or self.parked_bytes >= 0, "0 or more"),
            ("batch", max(32, self.max_sequences + 1) <= self.batch <= 4096, "from 32 and above max_sequences to 4096"),
        )
        _require(self, limits)


@dataclass(frozen=True, slots=True)
class BaseInfo:
    """What the engine opened. ``mode`` is "pooled", or "exclusive" with the reason; ``callback`` is what masks.

    ``baked`` are the adapters in its weights, where it is a merged file: every answer is computed with them.
    ``system_prompt`` and ``end_tokens`` (texts) are what they brought of these.
    """

    path: Path
    name: str
    fingerprint: str
    arch: str
    n_params: int
    quantization: str
    ctx: int
    ctx_train: int
    n_vocab: int
    chat_template: str | None
    sampling_hints: dict[str, float]
    mode: Literal["pooled", "exclusive"]
    mode_reason: str = ""
    callback: Literal["native", "python"] = "python"
    baked: tuple[AttestedAdapter, ...] = ()
    system_prompt: str = ""
    end_tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadTimes:
    """What making an adapter resident took, in milliseconds: reading and hashing its file, preparing its factors,
    making room (others are copied out of the pool; seldom the pool is replaced by a larger one), copying it in. Only
    the last two happen between two steps of running answers."""

    read_ms: float = 0.0
    prepare_ms: float = 0.0
    room_ms: float = 0.0
    copy_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """All of it."""
        return self.read_ms + self.prepare_ms + self.room_ms + self.copy_ms


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """An adapter the engine has loaded: what it is, and the proof that it does something.

    ``effect`` is the relative change of the logits in the probe decode (0.03 means 3 %);
    ``ignored`` lists tensors that this architecture's graph never used. ``load_ms`` is all that its last loading
    took: ``times``, and the probe when it was the first. ``swap_ms`` is what a step with another selection costs more
    in exclusive mode, measured; in the pool a swap is a row of the mask.
    """

    sha256: str
    name: str
    rank: int
    n_bytes: int
    targets: tuple[str, ...]
    effect: float
    ignored: tuple[str, ...]
    load_ms: float
    resident: bool = True
    times: LoadTimes = LoadTimes()
    swap_ms: float = 0.0

    @property
    def does_nothing(self) -> bool:
        """Did the proof of activation find no effect?"""
        return self.effect < INACTIVE


@dataclass(frozen=True, slots=True)
class KVStats:
    """What became of computed conversations since the engine was opened.

    ``hits`` requests found some of theirs, ``misses`` none. ``shared`` prefixes were taken from another sequence,
    ``parked`` sequences saved, ``restored``, or ``lost`` for want of room. Bytes are those taken at this moment.
    """

    parked_bytes: int = 0
    parked_on_disk_bytes: int = 0
    hits: int = 0
    misses: int = 0
    shared: int = 0
    parked: int = 0
    restored: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine at this moment: memory by part in bytes, counts, and how long cold loads took.

    A cold load is one from the file; ``load_p50`` and ``load_p95`` are over the last thousand, each part by itself,
    ``load_ms_p95`` of all parts together. ``pool_bytes`` includes adapters that llama.cpp holds in exclusive mode.
    """

    weights_bytes: int
    kv_bytes: int
    pool_bytes: int
    prepared_bytes: int
    running: int
    waiting: int
    resident: int
    prepared: int
    cold_loads: int
    evictions: int
    load_p50: LoadTimes
    load_p95: LoadTimes
    load_ms_p95: float
    kv: KVStats = KVStats()


@dataclass(frozen=True, slots=True)
class AttestedAdapter:
    """One adapter that an answer was computed with."""

    name: str
    sha256: str
    scale: float


# --- events, from the engine to whoever asked


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


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something heavy is. ``total`` 0 means unknown; ``unit`` is what is counted."""

    stage: str
    done: int
    total: int
    unit: str = ""


class ReportProgress(Protocol):
    """Whoever wants to know how far something heavy is."""

    def __call__(self, progress: Progress) -> None:
        """Take note of ``progress``; must be quick and must not raise."""


def ignore_progress(progress: Progress) -> None:
    """The report of somebody who does not watch."""


def _require(value: object, limits: Iterable[tuple[str, bool, str]]) -> None:
    """Raise UsageError for the first field that does not hold: (name, holds, what is allowed)."""
    for name, holds, allowed in limits:
        if not holds:
            raise UsageError(f"{name} is {getattr(value, name)!r}; it must be {allowed}")
