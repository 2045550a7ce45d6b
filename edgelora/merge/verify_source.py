"""Merged from an unquantized source: is the file nearer to the source under the adapters than the base under them is?

The merged weights and the base's are then two roundings of the same values, which differ however well the adapters
were kept; so both are compared with what neither has rounded. In a process of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgelora.merge.apart import run_apart
from edgelora.merge.divergence import divergence, log_probabilities
from edgelora.merge.forward import AppliedAdapter, Forward, loaded, opened_model
from edgelora.merge.sequences import N_TOKENS, sample
from edgelora.native.model import Model
from edgelora.types import Progress, ReportProgress, ignore_progress

CHUNK = 32
"""Tokens read at a time: in three contexts, 96 positions of logits."""

MARGIN = 1.05
"""The merged file may be this many times as far away as the base under the adapters."""


@dataclass(frozen=True, slots=True)
class AgainstSource:
    """KL divergence from the source under the adapters, in nats per token: of the merged file, and of the base under
    the adapters at run time."""

    kl_merged: float
    kl_at_run_time: float

    @property
    def passed(self) -> bool:
        """Is the merged file as good as the base under the adapters at run time?"""
        return self.kl_merged <= MARGIN * self.kl_at_run_time


def verify_source(
    source: Path,
    base: Path,
    members: Sequence[AppliedAdapter],
    merged: Path,
    *,
    n_tokens: int = N_TOKENS,
    threads: int | None = None,
    report: ReportProgress = ignore_progress,
) -> AgainstSource:
    """Compare ``merged``, and ``base`` under ``members``, with ``source`` under ``members``. Blocks until done.

    Raises EngineError, AdapterError and EngineDiedError as :func:`edgelora.merge.verify.verify` does.
    """
    arguments = (source, base, tuple(members), merged, n_tokens, threads)
    return run_apart("verification", _verify, *arguments, report=report)


def _verify(
    source: Path,
    base: Path,
    members: Sequence[AppliedAdapter],
    merged: Path,
    n_tokens: int,
    threads: int | None,
    report: ReportProgress,
) -> AgainstSource:
    with ExitStack() as stack:
        models = [stack.enter_context(opened_model(path, report)) for path in (source, merged, base)]

        def reader(model: Model, *applied: AppliedAdapter) -> Forward:
            adapters = stack.enter_context(loaded(model, applied))
            return stack.enter_context(Forward(model, CHUNK, threads=threads, adapters=adapters))

        reference, *others = reader(models[0], *members), reader(models[1]), reader(models[2], *members)
        read = sample(models[2], "verification", n_tokens)
        sums, done = [0.0, 0.0], 0
        for sequence in read.sequences:
            for start in range(0, len(sequence), CHUNK):
                report(Progress("comparing with the source", done, read.n_tokens, "tokens"))
                tokens = sequence[start : start + CHUNK]
                found = _divergences(reference, others, tokens, start)
                sums, done = [total + new for total, new in zip(sums, found, strict=True)], done + len(tokens)
        return AgainstSource(*(total / done for total in sums))


def _divergences(reference: Forward, others: Sequence[Forward], tokens: Sequence[int], position: int) -> list[float]:
    """The sums over ``tokens`` for each of the others."""
    for forward in (reference, *others):
        forward.read(tokens, position)
    expected = [log_probabilities(reference.logits(index)) for index in range(len(tokens))]
    return [
        sum(divergence(row, log_probabilities(other.logits(index))) for index, row in enumerate(expected))
        for other in others
    ]
