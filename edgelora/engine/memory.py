"""Will the base fit? Estimated before anything is loaded, so that the answer is an error and not a kill."""

from __future__ import annotations

from dataclasses import dataclass

from edgelora.engine.free_memory import free_memory
from edgelora.errors import MemoryLimitError
from edgelora.gguf.facts import BaseFacts
from edgelora.types import EngineConfig

DEFAULT_CTX = 4096
"""The longest conversation in tokens where nothing else is asked for and the base allows it."""

KEPT_CONVERSATIONS = 4
"""How many full-length conversations the KV cache has room for: the running one and those of other selections."""

PROBE_CELLS = 8
"""Cells that no conversation gets: the probe of an adapter needs six, however full the cache is."""

_SHARE = 0.25  # of what is free once the base is loaded: for the pool, prepared adapters, parked conversations, each
_PARKED_MOST = 2**30
_ELEMENT_SIZE = {"f16": 2, "f32": 4}


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What the engine will use, in bytes. ``cells`` is the size of the KV cache in tokens."""

    ctx: int
    cells: int
    weights: int
    kv: int
    scratch: int
    pool_budget: int
    prepared_budget: int
    parked_budget: int

    @property
    def budget(self) -> int:
        """What adapters and parked conversations may take together."""
        return self.pool_budget + self.prepared_budget + self.parked_budget


def plan_memory(facts: BaseFacts, config: EngineConfig, available: int | None = None) -> MemoryPlan:
    """Divide the ``available`` bytes (by default what is free).

    Fewer conversations are kept when memory is short; MemoryLimitError, with the numbers, when not even one fits.
    """
    free = max(0, (free_memory() if available is None else available) - config.reserved_bytes)
    ctx = config.ctx or min(facts.n_ctx_train or DEFAULT_CTX, DEFAULT_CTX)
    asked = sum(filter(None, (config.adapter_bytes, config.prepared_bytes, config.parked_bytes)))
    for conversations in range(KEPT_CONVERSATIONS, 0, -1):
        cells = _padded(ctx * conversations + config.batch + PROBE_CELLS)
        kv = cells * _kv_bytes_per_token(facts, config)
        scratch = _scratch_bytes(facts, config, cells)
        left = free - facts.file_size - kv - scratch - asked
        if left >= 0:
            return MemoryPlan(ctx, cells, facts.file_size, kv, scratch, *_budgets(config, left))
    parts = {"weights": facts.file_size, f"KV cache for {ctx} tokens": kv, "scratch": scratch, "adapters": asked}
    raise MemoryLimitError(
        f"{facts.path.name} needs about {_mib(sum(parts.values()))} of memory and {_mib(free)} are free: "
        + ", ".join(f"{what} {_mib(size)}" for what, size in parts.items() if size),
        _what_to_do(ctx, asked),
    )


def _budgets(config: EngineConfig, left: int) -> tuple[int, int, int]:
    """For the pool, for prepared adapters and for parked conversations: what was asked for, else a share of what is
    ``left`` beside that."""
    share = int(left * _SHARE)
    pool = share if config.adapter_bytes is None else config.adapter_bytes
    prepared = min(pool, share) if config.prepared_bytes is None else config.prepared_bytes
    parked = min(share, _PARKED_MOST) if config.parked_bytes is None else config.parked_bytes
    return pool, prepared, parked


def _what_to_do(ctx: int, asked: int) -> str:
    smaller = [f"--ctx {ctx // 4}"] if ctx >= 2048 else []
    smaller += ["a smaller --adapter-memory"] if asked else []
    return f"Try {', '.join([*smaller, 'a base with fewer bits'])}, or close other programs."


def _kv_bytes_per_token(facts: BaseFacts, config: EngineConfig) -> int:
    return 2 * sum(facts.n_kv) * facts.head_dim * _ELEMENT_SIZE[config.kv_dtype]


def _scratch_bytes(facts: BaseFacts, config: EngineConfig, cells: int) -> int:
    """Activations and attention masks of one batch, and the logits of every sequence; a rough estimate."""
    widest = max((*facts.n_ff, facts.n_embd))
    scores = max(facts.n_head) if config.flash_attention == "off" else 0
    a_token = 8 * facts.n_embd + 3 * widest + cells * (2 + scores)
    return 4 * (config.batch * a_token + 2 * config.max_sequences * facts.n_vocab)


def _padded(cells: int) -> int:
    return -(-cells // 256) * 256  # llama.cpp rounds the KV cache up to this


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
