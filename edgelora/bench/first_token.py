"""What a person waits for after picking another adapter: the first token, in conversations of several lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.bench.pooled import Run, run
from edgelora.bench.samples import median
from edgelora.bench.workloads import CONVERSATIONS, QUESTION, random_tokens
from edgelora.types import Progress, ReportProgress, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.engine.core import EngineCore

REPEATS = 3


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The wait for one first token in milliseconds, split into where it went. Medians, so parts need not add up."""

    total_ms: float
    mask_ms: float
    kv_ms: float
    decode_ms: float
    rest_ms: float

    @classmethod
    def of(cls, runs: Sequence[Run]) -> FirstToken:
        """The medians of several runs."""
        return cls(
            total_ms=median([made.total for made in runs]),
            mask_ms=median([made.mask for made in runs]),
            kv_ms=median([made.kv for made in runs]),
            decode_ms=median([made.decode for made in runs]),
            rest_ms=median([made.rest for made in runs]),
        )


@dataclass(frozen=True, slots=True)
class AfterSwap:
    """The first token after a swap in a conversation of ``conversation`` tokens.

    ``new``: to a selection that has not read the conversation; ``kept``: back to one that has.
    """

    conversation: int
    new: FirstToken
    kept: FirstToken


def first_tokens(
    core: EngineCore, before: Selection, after: Selection, report: ReportProgress
) -> tuple[AfterSwap, ...]:
    """Talk under ``before``, swap to ``after`` and back, in every length that the context holds."""
    lengths = [length for length in CONVERSATIONS if length + 2 * QUESTION + 2 <= core.base.ctx]
    measured = []
    for done, length in enumerate(lengths):
        report(Progress("first tokens", done, len(lengths), "conversations"))
        runs = [_there_and_back(core, before, after, length, seed) for seed in range(REPEATS)]
        new, kept = zip(*runs, strict=True)
        measured.append(AfterSwap(length, FirstToken.of(new), FirstToken.of(kept)))
    return tuple(measured)


def _there_and_back(core: EngineCore, before: Selection, after: Selection, length: int, seed: int) -> tuple[Run, Run]:
    n_vocab = core.base.n_vocab
    core.forget_conversations()
    conversation = random_tokens(length, n_vocab, seed=length + seed)
    if conversation:
        run(core, conversation, before, max_tokens=0)
    question, another = (random_tokens(QUESTION, n_vocab, seed=10_000 + 2 * seed + i) for i in range(2))
    new = run(core, conversation + question, after, max_tokens=1)
    kept = run(core, conversation + another, before, max_tokens=1)
    return new, kept
