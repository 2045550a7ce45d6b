"""The settings of an engine, and what it says about itself, its base and its adapters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgelora.types.limits import require

INACTIVE = 1e-5
"""An adapter whose probe changes the logits by less than this does nothing: that much is rounding."""


KVType = Literal["f16", "f32"]
FlashAttention = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How to open a base. ``ctx`` is the longest conversation in tokens; None takes what the base was trained
    with, at most 4096. ``pool_dtype`` is what adapters are held in; ``kv_dtype`` the cache. ``adapter_bytes`` is the
    memory for resident adapters, ``prepared_bytes`` that for others kept ready beside them; ``parked_bytes`` that for
    conversations saved when the cache needs their room, which go on to ``parked_folder``, if there is one.
    ``reserved_bytes`` of the free memory are left to others."""

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
    reserved_bytes: int = 0  # free memory that is somebody else's already
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
            ("reserved_bytes", self.reserved_bytes >= 0, "0 or more"),
            ("batch", max(32, self.max_sequences + 1) <= self.batch <= 4096, "from 32 and above max_sequences to 4096"),
        )
        require(self, limits)


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
    ``acquired`` counts each adapter of each running request: it is 0 where nothing runs. ``budget_bytes`` is what
    adapters, resident and prepared, and parked conversations may take together.
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
    acquired: int = 0
    budget_bytes: int = 0


@dataclass(frozen=True, slots=True)
class AttestedAdapter:
    """One adapter that an answer was computed with."""

    name: str
    sha256: str
    scale: float
