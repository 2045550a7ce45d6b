"""Going on with a long conversation under another selection: what the engine has ready, against reading it again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.bench.pooled import run
from edgelora.bench.samples import median
from edgelora.bench.workloads import CONVERSATIONS, random_tokens
from edgelora.types import Progress

if TYPE_CHECKING:
    from edgelora.engine.core import EngineCore
    from edgelora.types import ReportProgress, Selection

REPEATS = 3

STEPS = 16
"""Tokens of the answer whose steps are called ordinary."""


@dataclass(frozen=True, slots=True)
class GoingOn:
    """The wait for the first token in a conversation of ``conversation`` tokens, nothing new in it, in milliseconds.

    ``read_again``: under a selection that has not read it. ``read_ahead``: to one that has read it in the background.
    ``kept``: back to one whose KV the cache holds. ``parked``: back to one that had to make room, of which
    ``restore_ms`` is finding it again. ``park_ms`` is what saving ``parked_bytes`` took. ``step_ms``: one token more.
    """

    conversation: int
    step_ms: float
    read_again_ms: float
    read_ahead_ms: float
    kept_ms: float
    parked_ms: float
    park_ms: float
    restore_ms: float
    parked_bytes: int


def going_on(core: EngineCore, before: Selection, after: Selection, report: ReportProgress) -> GoingOn:
    """Measure the longest of the usual conversations, or one as long as the context holds."""
    room = core.base.ctx - STEPS
    length = max((length for length in CONVERSATIONS if 0 < length <= room), default=room)
    rounds = []
    for done in range(REPEATS):
        report(Progress("going on with a conversation", done, REPEATS, "rounds"))
        rounds.append(_round(core, before, after, random_tokens(length, core.base.n_vocab, seed=20_000 + done)))
    middle = {name: median([measured[name] for measured in rounds]) for name in rounds[0]}
    return GoingOn(conversation=length, parked_bytes=round(middle.pop("parked_bytes")), **middle)


def _round(core: EngineCore, before: Selection, after: Selection, tokens: tuple[int, ...]) -> dict[str, float]:
    core.forget_conversations()
    answer = run(core, tokens, before, max_tokens=STEPS).finished
    run(core, tokens, after, max_tokens=0)  # as in the background, while nobody asks for anything
    read_ahead = run(core, tokens, after, max_tokens=1)
    kept = run(core, tokens, before, max_tokens=1)
    began = time.perf_counter()
    core.park_conversations()
    park_ms = (time.perf_counter() - began) * 1e3
    parked_bytes = core.stats().kv.parked_bytes
    parked = run(core, tokens, before, max_tokens=1)
    return {
        "step_ms": 1e3 / answer.tok_per_s if answer.tok_per_s else kept.total,  # an answer may end with its first token
        "read_again_ms": answer.ttft_ms,
        "read_ahead_ms": read_ahead.total,
        "kept_ms": kept.total,
        "parked_ms": parked.total,
        "park_ms": park_ms / 2,  # both were parked
        "restore_ms": parked.kv,
        "parked_bytes": parked_bytes / 2,
    }
