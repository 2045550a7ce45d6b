"""``bench swap``: what choosing another adapter costs, on one base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Self

import psutil

from edgelora.bench.comparison import Answers, Loaded, compare_answers, load
from edgelora.bench.first_token import AfterSwap, first_tokens
from edgelora.bench.going_on import GoingOn, going_on
from edgelora.bench.machine import describe_machine
from edgelora.bench.native import NativeRunner
from edgelora.bench.pooled import step
from edgelora.bench.samples import median
from edgelora.bench.steps import SwapTimes, alternating, interleave, swap_times
from edgelora.bench.subject import Subject, prompt_tokens
from edgelora.bench.workloads import STEP_POSITION, random_tokens
from edgelora.engine.core import EngineCore
from edgelora.types import BASE, BaseInfo, Progress, Selection

if TYPE_CHECKING:
    from types import TracebackType

    from edgelora.types import EngineConfig, ReportProgress

SEQUENCES = 4
"""Conversations kept: those of the selections that are swapped."""

RELOADS = 3


@dataclass(frozen=True, slots=True)
class StepCost:
    """Median step of one selection with nothing else resident, in ms: ours, llama.cpp's own, and the bare base."""

    pooled_ms: float
    native_ms: float
    base_ms: float


@dataclass(frozen=True, slots=True)
class SubjectResult:
    """Everything about one selection alone."""

    subject: Subject
    loaded: Loaded
    cost: StepCost
    answers: Answers


@dataclass(frozen=True, slots=True)
class SwapResult:
    """A whole ``bench swap``."""

    machine: dict[str, str | int]
    base: BaseInfo
    between: tuple[str, str]
    after_swap: tuple[AfterSwap, ...]
    going_on: GoingOn
    mask: SwapTimes
    native: SwapTimes
    model_reload_ms: float
    subjects: tuple[SubjectResult, ...]


class SwapBench:
    """One engine core, and llama.cpp by itself beside it. Use it in a ``with`` block."""

    def __init__(
        self, config: EngineConfig, subjects: Sequence[Subject], template: str | None, rounds: int,
        report: ReportProgress,
    ) -> None:  # fmt: skip
        threads = config.threads or psutil.cpu_count(logical=False) or 1
        self._config = replace(config, threads=threads, max_sequences=SEQUENCES, parked_folder=None)
        self._subjects, self._template, self._rounds, self._report = subjects, template, rounds, report
        self._paths = {file.sha256: file.path for subject in subjects for file in subject.files}
        self._core = EngineCore(self._config, report)
        self._tokens = random_tokens(STEP_POSITION + 1, self._core.base.n_vocab, seed=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._core.close()

    def measure(self) -> SwapResult:
        """Everything, in an order in which nothing spoils what follows. Takes minutes on a large base."""
        loaded = [load(self._core, subject) for subject in self._subjects]  # before anything else takes memory
        pair = self._pair()
        with NativeRunner(self._config, self._paths) as native:
            opened = [native.open_ms]
            results = [self._alone(*each, native) for each in zip(self._subjects, loaded, strict=True)]
            for subject in self._subjects:
                load(self._core, subject)
            mask, own = self._swaps([subject.selection for subject in pair], native)
        first, second = (subject.selection for subject in pair)
        after = first_tokens(self._core, first, second, self._report)
        further = going_on(self._core, first, second, self._report)
        return SwapResult(
            machine=describe_machine(self._config.threads or 1),
            base=self._core.base,
            between=(pair[0].label, pair[1].label),
            after_swap=after,
            going_on=further,
            mask=mask,
            native=own,
            model_reload_ms=median([*opened, *(self._reopened() for _ in range(RELOADS - 1))]),
            subjects=tuple(results),
        )

    def _pair(self) -> tuple[Subject, Subject]:
        """What is swapped between: the first two, or the only one and the base."""
        first, *others = self._subjects
        return first, others[0] if others else Subject("base", BASE, ())

    def _alone(self, subject: Subject, loaded: Loaded, native: NativeRunner) -> SubjectResult:
        for sha256 in self._paths.keys() - set(subject.selection.adapters):
            self._core.evict(sha256)
        load(self._core, subject)
        samples = interleave(
            {
                "pooled": partial(step, self._core, self._tokens, subject.selection),
                "native": partial(native.step, self._tokens, subject.selection),
                "base": partial(native.step, self._tokens, BASE),
            },
            self._rounds,
            self._report,
        )
        pooled, own, base = (median([sample.total for sample in samples[kind]]) for kind in samples)
        prompt = prompt_tokens(self._core, subject, self._template)
        answers = compare_answers(self._core, subject, prompt, self._report)
        return SubjectResult(subject, loaded, StepCost(pooled, own, base), answers)

    def _swaps(self, pair: Sequence[Selection], native: NativeRunner) -> tuple[SwapTimes, SwapTimes]:
        ours, own = partial(step, self._core, self._tokens), partial(native.step, self._tokens)
        samples = interleave(
            {
                "same": partial(ours, pair[0]),
                "swap": alternating(ours, pair),
                "native same": partial(own, pair[0]),
                "native swap": alternating(own, pair),
            },
            self._rounds,
            self._report,
        )
        return swap_times(samples["same"], samples["swap"]), swap_times(samples["native same"], samples["native swap"])

    def _reopened(self) -> float:
        self._report(Progress("loading the base again", 0, 0))
        with NativeRunner(self._config, self._paths) as native:
            return native.open_ms
