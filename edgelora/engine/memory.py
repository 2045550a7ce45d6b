"""Will the base fit? Estimated before anything is loaded, so that the answer is an error and not a kill."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from edgelora.errors import MemoryLimitError
from edgelora.gguf.facts import BaseFacts
from edgelora.types import EngineConfig

DEFAULT_CTX = 4096
"""The longest conversation in tokens where nothing else is asked for and the base allows it."""

KEPT_CONVERSATIONS = 4
"""How many full-length conversations the KV cache has room for: the running one and those of other selections."""

_POOL_SHARE = 0.25  # of what is free once the base is loaded
_PARKED_SHARE = 0.25  # likewise, for conversations that the KV cache has no room for
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
    parked_budget: int


def plan_memory(facts: BaseFacts, config: EngineConfig, available: int | None = None) -> MemoryPlan:
    """Divide the ``available`` bytes (by default what the machine has free).

    Fewer conversations are kept when memory is short; MemoryLimitError, with the numbers, when not even one fits.
    """
    free = psutil.virtual_memory().available if available is None else available
    ctx = config.ctx or min(facts.n_ctx_train or DEFAULT_CTX, DEFAULT_CTX)
    for conversations in range(KEPT_CONVERSATIONS, 0, -1):
        cells = _padded(ctx * conversations + config.batch)
        kv = cells * _kv_bytes_per_token(facts, config)
        scratch = _scratch_bytes(facts, config, cells)
        left = free - facts.file_size - kv - scratch
        if left >= 0:
            parked = min(int(left * _PARKED_SHARE), _PARKED_MOST)
            budget = parked if config.parked_bytes is None else config.parked_bytes
            return MemoryPlan(ctx, cells, facts.file_size, kv, scratch, int(left * _POOL_SHARE), budget)
    raise MemoryLimitError(
        f"{facts.path.name} needs about {_mib(facts.file_size + kv + scratch)} of memory and {_mib(free)} are free: "
        f"weights {_mib(facts.file_size)}, KV cache for {ctx} tokens {_mib(kv)}, scratch {_mib(scratch)}",
        f"{f'Try --ctx {ctx // 4}, a' if ctx >= 2048 else 'Try a'} base with fewer bits, or close other programs.",
    )


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
