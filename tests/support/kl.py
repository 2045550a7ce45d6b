"""What a merge is judged by: the divergence of two models over a text, without any code of the merge room."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgelora.native.batch import Batch
from edgelora.native.context import Context, NativeAdapter
from edgelora.native.model import Model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Agreement(NamedTuple):
    """Nats per token, and the share of tokens with the same most likely successor."""

    kl: float
    top1: float


def agreement(reference: np.ndarray, other: np.ndarray) -> Agreement:
    """KL(reference || other) of logits [tokens, n_vocab], by the definition and in exact sums for each token."""
    total, same = 0.0, 0
    for p_row, q_row in zip(reference.tolist(), other.tolist(), strict=True):
        p_log, q_log = _log_sum(p_row), _log_sum(q_row)
        terms = (math.exp(p - p_log) * ((p - p_log) - (q - q_log)) for p, q in zip(p_row, q_row, strict=True))
        total += math.fsum(terms)
        same += p_row.index(max(p_row)) == q_row.index(max(q_row))
    return Agreement(total / len(reference), same / len(reference))


def all_logits(
    path: Path, sequences: Sequence[Sequence[int]], adapters: Sequence[tuple[Path, float]] = ()
) -> np.ndarray:
    """Logits after every token of every sequence, f32 [tokens, n_vocab]; each sequence is one batch of its own."""
    longest = max(map(len, sequences))
    with Model(path) as model:
        context = Context(
            model, cells=longest, sequences=1, batch=longest, threads=1, kv_dtype="f32", flash_attention="off",
            outputs=longest,
        )  # fmt: skip
        natives = [(NativeAdapter(model, adapter), scale) for adapter, scale in adapters]
        context.set_adapters(natives)
        rows = [row for sequence in sequences for row in _rows(context, sequence)]
        context.close()
        for native, _ in natives:
            native.free()
    return np.stack(rows)


def _rows(context: Context, sequence: Sequence[int]) -> list[np.ndarray]:
    context.forget_everything()
    batch = Batch(len(sequence))
    batch.add(sequence, position=0, sequence=0, logits=True)
    batch.wants_logits[:] = 1
    assert context.decode(batch) == 0
    return [context.logits(index) for index in range(len(sequence))]


def _log_sum(row: list[float]) -> float:
    largest = max(row)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in row))
