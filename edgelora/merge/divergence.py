"""How far one model's predictions are from another's.

For one token, P and Q the probabilities that two models give to what comes next: the Kullback-Leibler divergence
KL(P || Q) = sum of P * (log P - log Q), in nats. It is 0 for equal predictions and never negative.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgelora.errors import EngineError

Row = NDArray[np.float64]


def log_probabilities(logits: NDArray[np.floating]) -> Row:
    """The logarithms of the probabilities, f64 [n_vocab], that ``logits`` [n_vocab] stand for.

    Raises EngineError where a logit is no number: a broken model, about which nothing can be said.
    """
    row = logits.astype(np.float64)
    if not np.isfinite(row).all():
        raise EngineError("a model computed values that are no numbers (NaN or infinity)")
    row -= row.max()
    row -= np.log(np.exp(row).sum())
    return row


def divergence(reference: Row, other: Row) -> float:
    """KL(reference || other) in nats, of two rows of :func:`log_probabilities`."""
    return max(0.0, float(np.exp(reference) @ (reference - other)))  # rounding alone can make it negative


def same_choice(reference: Row, other: Row) -> bool:
    """Is the most likely token the same?"""
    return int(reference.argmax()) == int(other.argmax())
