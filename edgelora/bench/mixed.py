"""``bench mixed``: what a step costs when its sequences use different adapters, beside the alternatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil

from edgelora.bench.answering import SETTLED, AnsweringStep, answering_steps
from edgelora.bench.machine import describe_machine
from edgelora.bench.native import NativeRunner
from edgelora.bench.pooled import run, step
from edgelora.bench.samples import median
from edgelora.bench.workloads import random_tokens
from edgelora.engine.core import EngineCore
from edgelora.types import BASE, Progress

if TYPE_CHECKING:
    from edgelora.bench.subject import Subject
    from edgelora.types import BaseInfo, EngineConfig, ReportProgress, Selection

STEPS = 24
"""Steps whose time is taken in each round."""

PROMPT = 16
"""Tokens that each sequence begins with."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Medians over steps, in milliseconds: ``step`` is choosing adapters and computing; ``whole`` also sampling."""

    step: float
    whole: float


@dataclass(frozen=True, slots=True)
class MixedResult:
    """``times`` by kind: `base`, `one` and `mixed`. ``native`` in milliseconds by kind: `base` and `one`.

    ``reattach_ms`` is what the first step with an adapter takes more, after steps without any.
    """

    machine: dict[str, str | int]
    base: BaseInfo
    sequences: int
    subjects: tuple[Subject, ...]
    times: Mapping[str, StepTimes]
    native: Mapping[str, float]
    reattach_ms: float


def measure_mixed(
    config: EngineConfig, subjects: Sequence[Subject], sequences: int, rounds: int, report: ReportProgress
) -> MixedResult:
    """Interleave ``rounds`` of each kind with ``sequences`` sequences: the bare base, all on the first of ``subjects``,
    and each on the next one in turn; and llama.cpp's own way for the first two. Raises what the engine raises."""
    threads = config.threads or psutil.cpu_count(logical=False) or 1
    config = replace(config, threads=threads, max_sequences=max(sequences, config.max_sequences))
    first = subjects[0]
    core = EngineCore(config, report)
    try:
        files = {file.sha256: file for subject in subjects for file in subject.files}
        for file in files.values():
            core.load(file)
        with NativeRunner(config, {file.sha256: file.path for file in first.files}, sequences) as native:
            steps, own = _interleave(core, native, subjects, sequences, rounds, report)
        reattach = median([_reattach_ms(core, first.selection) for _ in range(rounds)])
        return MixedResult(
            machine=describe_machine(threads),
            base=core.base,
            sequences=sequences,
            subjects=tuple(subjects),
            times={kind: _medians(taken) for kind, taken in steps.items()},
            native={kind: median(taken) for kind, taken in own.items()},
            reattach_ms=reattach,
        )
    finally:
        core.close()


def _interleave(
    core: EngineCore,
    native: NativeRunner,
    subjects: Sequence[Subject],
    sequences: int,
    rounds: int,
    report: ReportProgress,
) -> tuple[dict[str, list[AnsweringStep]], dict[str, list[float]]]:
    first = subjects[0].selection
    selections = {
        "base": [BASE] * sequences,
        "one": [first] * sequences,
        "mixed": [subjects[i % len(subjects)].selection for i in range(sequences)],
    }
    prompts = [random_tokens(PROMPT, core.base.n_vocab, seed=1000 + i) for i in range(sequences)]
    steps: dict[str, list[AnsweringStep]] = {kind: [] for kind in selections}
    own: dict[str, list[float]] = {"base": [], "one": []}
    takes: list[Callable[[], None]] = [
        *(
            lambda kind=kind, all_of=all_of: steps[kind].extend(answering_steps(core, PROMPT, all_of, SETTLED, STEPS))
            for kind, all_of in selections.items()
        ),
        *(
            lambda kind=kind, of=of: own[kind].extend(native.steps(prompts, of, SETTLED, STEPS))
            for kind, of in (("base", BASE), ("one", first))
        ),
    ]
    for done in range(rounds):
        for number, take in enumerate(takes):
            report(Progress("steps", done * len(takes) + number, rounds * len(takes), "parts"))
            core.forget_conversations()  # attention looks at their cells too
            take()
    return steps, own


def _medians(steps: Sequence[AnsweringStep]) -> StepTimes:
    return StepTimes(median([step.computed for step in steps]), median([step.whole for step in steps]))


def _reattach_ms(core: EngineCore, selection: Selection) -> float:
    """How much longer the first step under ``selection`` takes after the pool was taken out of the graph."""
    tokens = random_tokens(2 * PROMPT, core.base.n_vocab, seed=7)
    run(core, tokens, selection, max_tokens=1)
    answering_steps(core, PROMPT, [BASE], SETTLED, 1)
    after = step(core, tokens, selection).total
    return after - median([step(core, tokens, selection).total for _ in range(5)])
