"""Is the merged file what the adapter does at run time? Measured, in a process of its own.

Contexts read the same tokens side by side: the base with the adapter (the reference), the bare base, the merged file,
and now and then the base with the adapter and an F16 cache, which shows what rounding alone does. Both files stay
mapped, and of each context only the logits of a few tokens exist at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgelora.errors import EngineError
from edgelora.merge.apart import run_apart
from edgelora.merge.divergence import divergence, log_probabilities, same_choice
from edgelora.merge.forward import AppliedAdapter, Forward, loaded, opened_model
from edgelora.merge.sequences import N_TOKENS, Sample, sample
from edgelora.merge.verification import Tally, Verification, conclude
from edgelora.native.context import NativeAdapter
from edgelora.native.model import Model
from edgelora.types import KVType, Progress, ReportProgress, ignore_progress

CHUNK = 64
"""Positions whose logits exist at a time. Twice as many would be 15 % faster, half as many 20 % slower (1.5B, Q4_K)."""

_ROUNDED_EVERY = 8  # sequences


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

        def reader(model: Model, *applied: tuple[NativeAdapter, float], kv_dtype: KVType = "f32") -> Forward:
            forward = Forward(model, CHUNK, threads=threads, adapters=applied, kv_dtype=kv_dtype)
            return stack.enter_context(forward)

        contexts = _Contexts(
            reference=reader(base_model, *adapters),
            merged=reader(merged_model),
            bare=reader(base_model),
            rounded=reader(base_model, *adapters, kv_dtype="f16"),
        )
        return _compare(contexts, sample(base_model, "verification", n_tokens), report)


def _require_same_vocabulary(base: Model, merged: Model) -> None:
    if base.n_vocab != merged.n_vocab:
        raise EngineError(
            f"{merged.path} knows {merged.n_vocab} tokens and {base.path} {base.n_vocab}",
            "It was not merged from this base.",
        )


@dataclass(frozen=True, slots=True)
class _Contexts:
    reference: Forward
    merged: Forward
    bare: Forward
    rounded: Forward


def _compare(contexts: _Contexts, read: Sample, report: ReportProgress) -> Verification:
    merged, bare, rounded = Tally(), Tally(), Tally()
    for number, sequence in enumerate(read.sequences):
        compared = [(contexts.merged, merged), (contexts.bare, bare)]
        if number % _ROUNDED_EVERY == 0:
            compared.append((contexts.rounded, rounded))
        for start in range(0, len(sequence), CHUNK):
            report(Progress("verifying", len(merged.divergences), read.n_tokens, "tokens"))
            _count(contexts.reference, compared, sequence[start : start + CHUNK], start)
    report(Progress("verifying", read.n_tokens, read.n_tokens, "tokens"))
    return conclude(merged, bare, rounded, read.source)


def _count(reference: Forward, compared: Sequence[tuple[Forward, Tally]], tokens: Sequence[int], position: int) -> None:
    """Read ``tokens`` in every context and count how the predictions after each of them differ."""
    for forward in (reference, *(forward for forward, _ in compared)):
        forward.read(tokens, position)
    for index in range(len(tokens)):
        expected = log_probabilities(reference.logits(index))
        for forward, tally in compared:
            found = log_probabilities(forward.logits(index))
            tally.add(divergence(expected, found), same_choice(expected, found))
