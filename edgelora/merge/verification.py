"""The outcome of a verification, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

BUDGET = 0.05
"""A merge passes if it is at most this share of the adapter's own effect away from the adapter at run time."""

LEAST_EFFECT = 1e-5
"""Nats per token. Below this the rounding inside quantized products is as large as what the adapter does."""

Verdict = Literal["passed", "failed", "unclear"]


@dataclass(frozen=True, slots=True)
class Verification:
    """How the merged file compares with the base under the adapter at run time, and the bare base with the same.

    ``kl_*`` are nats per token: the mean, and the 99th percentile over the tokens (``*_p99``); ``top1_*`` is the share
    of tokens after which the same next token is the most likely one. ``source`` says what was read.
    """

    kl_merged: float
    kl_effect: float
    kl_merged_p99: float
    kl_effect_p99: float
    top1_merged: float
    top1_effect: float
    n_tokens: int
    source: str

    @property
    def verdict(self) -> Verdict:
        """Is the merged file as good as the adapter at run time, as far as this can be told?"""
        if self.kl_effect < LEAST_EFFECT:
            return "unclear"
        return "passed" if self.kl_merged <= BUDGET * self.kl_effect else "failed"

    @property
    def summary(self) -> str:
        """The verdict in a sentence or two, with its numbers."""
        if self.verdict == "unclear":
            return (
                f"The adapter changes the base's predictions on {self.source} by {self.kl_effect:.2g} nats per token "
                "only, which is not more than rounding does: nothing can be said about the merge."
            )
        return (
            f"The merged file is {self.kl_merged:.2g} nats per token away from the adapter at run time, "
            f"{self.kl_merged / self.kl_effect:.1%} of the adapter's effect ({self.kl_effect:.2g}; at most "
            f"{BUDGET:.0%} passes); it chooses the same token {self.top1_merged:.1%} of the time, "
            f"the bare base {self.top1_effect:.1%}."
        )


@dataclass(slots=True)
class Tally:
    """Divergences and agreements of one model from the reference, token by token."""

    divergences: list[float]
    agreements: int = 0

    def add(self, divergence: float, agrees: bool) -> None:
        """Count one more token."""
        self.divergences.append(divergence)
        self.agreements += agrees


def conclude(merged: Tally, bare: Tally, source: str) -> Verification:
    """The figures of two tallies over the same tokens, of which there must be some."""
    return Verification(
        kl_merged=_mean(merged.divergences),
        kl_effect=_mean(bare.divergences),
        kl_merged_p99=float(np.percentile(merged.divergences, 99)),
        kl_effect_p99=float(np.percentile(bare.divergences, 99)),
        top1_merged=merged.agreements / len(merged.divergences),
        top1_effect=bare.agreements / len(bare.divergences),
        n_tokens=len(merged.divergences),
        source=source,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
