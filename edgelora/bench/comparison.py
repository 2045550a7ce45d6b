"""Each selection beside the base on the same prompt: what it costs, and whether it says anything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from edgelora.bench.pooled import Run, run
from edgelora.bench.samples import median
from edgelora.types import BASE, Progress, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.bench.subject import Subject
    from edgelora.engine.core import EngineCore
    from edgelora.types import AdapterStatus, ReportProgress

REPEATS = 3
ANSWER_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Loaded:
    """What making a selection's adapters resident took, the first time in this process.

    ``memory_bytes`` is the growth of the process's resident memory; ``effect`` the proof of activation: the change of
    the logits in the probe, relative to their norm.
    """

    load_ms: float
    memory_bytes: int
    rank: int
    effect: float


@dataclass(frozen=True, slots=True)
class Answered:
    """One greedy answer; the times are medians over repetitions, each with nothing kept of the prompt."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    ttft_ms: float
    tok_per_s: float


@dataclass(frozen=True, slots=True)
class Answers:
    """What the base and a selection say to the same prompt."""

    base: Answered
    adapted: Answered

    @property
    def differ(self) -> bool:
        """Whether the selection said anything else than the base."""
        return self.base.text != self.adapted.text


def load(core: EngineCore, subject: Subject) -> Loaded:
    """Make the adapters of ``subject`` resident."""
    process = psutil.Process()
    before = process.memory_info().rss
    statuses: list[AdapterStatus] = [core.load(file) for file in subject.files]
    return Loaded(
        load_ms=sum(status.load_ms for status in statuses),
        memory_bytes=process.memory_info().rss - before,
        rank=sum(status.rank for status in statuses),
        effect=max((status.effect for status in statuses), default=0.0),
    )


def compare_answers(core: EngineCore, subject: Subject, tokens: Sequence[int], report: ReportProgress) -> Answers:
    """Answer the prompt ``tokens`` under the base and under the subject's selection, in turn."""
    runs: dict[Selection, list[Run]] = {BASE: [], subject.selection: []}
    for done in range(REPEATS):
        report(Progress(f"answers of {subject.text}", done, REPEATS, "rounds"))
        for selection, made in runs.items():
            core.forget_conversations()
            made.append(run(core, tokens, selection, ANSWER_TOKENS))
    return Answers(_answered(runs[BASE]), _answered(runs[subject.selection]))


def _answered(runs: Sequence[Run]) -> Answered:
    first = runs[0].finished
    return Answered(
        text=runs[0].text,
        prompt_tokens=first.prompt_tokens,
        completion_tokens=first.completion_tokens,
        ttft_ms=median([made.finished.ttft_ms for made in runs]),
        tok_per_s=median([made.finished.tok_per_s for made in runs]),
    )
