"""Is the merged file what the adapter does at run time? Measured, in a process of its own.

Three contexts read the same tokens side by side: the base with the adapter (the reference), the bare base, and the
merged file. Both files stay mapped, and of each context only the logits of a few tokens exist at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edgelora.errors import EngineError
from edgelora.merge.apart import run_apart
from edgelora.merge.divergence import divergence, log_probabilities, same_choice
from edgelora.merge.forward import AppliedAdapter, Forward, chunks, loaded, opened_model
from edgelora.merge.sequences import N_TOKENS, Sample, sample
from edgelora.merge.verification import Tally, Verification, conclude
from edgelora.native.model import Model
from edgelora.types import Progress, ReportProgress, ignore_progress

CHUNK = 40
"""Tokens read at a time: with three contexts, 120 positions of logits are held."""


def verify(
    base: Path,
    members: Sequence[AppliedAdapter],
    merged: Path,
    *,
    n_tokens: int = N_TOKENS,
    threads: int | None = None,
    report: ReportProgress = ignore_progress,
) -> Verification:
    """Compare ``merged`` with ``base`` under ``members`` at run time, on at least ``n_tokens`` tokens.

    Blocks until done. Raises EngineError where a model cannot be read or computes no numbers, AdapterError where
    llama.cpp refuses an adapter, EngineDiedError where it crashes.
    """
    job_arguments = (base, tuple(members), merged, n_tokens, threads)
    return run_apart("verification", _verify, *job_arguments, report=report)


def _verify(
    base: Path,
    members: Sequence[AppliedAdapter],
    merged: Path,
    n_tokens: int,
    threads: int | None,
    report: ReportProgress,
) -> Verification:
    with ExitStack() as stack:
        base_model = stack.enter_context(opened_model(base, report))
        merged_model = stack.enter_context(opened_model(merged, report))
        _require_same_vocabulary(base_model, merged_model)
        adapters = stack.enter_context(loaded(base_model, members))
        reference = stack.enter_context(Forward(base_model, CHUNK, threads=threads, adapters=adapters))
        others = [stack.enter_context(Forward(model, CHUNK, threads=threads)) for model in (merged_model, base_model)]
        return _compare(reference, others, sample(base_model, "verification", n_tokens), report)


def _require_same_vocabulary(base: Model, merged: Model) -> None:
    if base.n_vocab != merged.n_vocab:
        raise EngineError(
            f"{merged.path} knows {merged.n_vocab} tokens and {base.path} {base.n_vocab}",
            "It was not merged from this base.",
        )


def _compare(reference: Forward, others: Sequence[Forward], read: Sample, report: ReportProgress) -> Verification:
    merged, bare = tallies = Tally([]), Tally([])
    for tokens, position in chunks(read.sequences, CHUNK):
        report(Progress("verifying", len(merged.divergences), read.n_tokens, "tokens"))
        for forward in (reference, *others):
            forward.read(tokens, position)
        for index in range(len(tokens)):
            expected = log_probabilities(reference.logits(index))
            for tally, forward in zip(tallies, others, strict=True):
                found = log_probabilities(forward.logits(index))
                tally.add(divergence(expected, found), same_choice(expected, found))
    report(Progress("verifying", read.n_tokens, read.n_tokens, "tokens"))
    return conclude(merged, bare, read.source)
