"""The outcome of a verification, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

BUDGET = 0.05
"""A merge passes if it is at most this share of the adapter's own effect away from the adapter at run time."""

NOISE_MARGIN = 2
"""Up to this many times the divergence that rounding alone makes, a divergence may be rounding alone."""

Verdict = Literal["passed", "failed", "unclear", "no effect"]


@dataclass(frozen=True, slots=True)
class Verification:
    """How the merged file compares with the base under the adapter at run time, and the bare base with the same.

    ``kl_*`` are nats per token: the mean, and the 99th percentile over the tokens (``*_p99``); ``top1_*`` is the share
    of tokens after which the same next token is the most likely one. ``kl_noise`` is what rounding alone
    makes: how far the base with the adapter moves when its KV cache is F16, as in a chat, and not F32. It is tiny for
    an F32 base and far from it for a quantized one, whose products round their inputs to 8 bits.
    ``source`` says what was read.
    """

    kl_merged: float
    kl_effect: float
    kl_merged_p99: float
    kl_effect_p99: float
    top1_merged: float
    top1_effect: float
    kl_noise: float
    n_tokens: int
    source: str

    @property
    def verdict(self) -> Verdict:
        """Is the merged file as good as the adapter at run time, as far as this can be told?"""
        rounding = NOISE_MARGIN * self.kl_noise
        if self.kl_effect > rounding and self.kl_merged <= BUDGET * self.kl_effect:
            return "passed"
        if self.kl_merged > rounding:
            return "failed"
        return "unclear" if self.kl_effect > rounding else "no effect"

    @property
    def summary(self) -> str:
        """The verdict in words, with its numbers."""
        share = f", {100 * self.kl_merged / self.kl_effect:.1f} % of the adapter's effect" if self.kl_effect else ""
        return (
            f"The merged file is {self.kl_merged:.2g} nats per token away from the adapter at run time{share} "
            f"({self.kl_effect:.2g}; up to {100 * BUDGET:.0f} % passes). It chooses the same token "
            f"{100 * self.top1_merged:.1f} % of the time, the bare base {100 * self.top1_effect:.1f} %. "
            f"{_MEANING[self.verdict]}"
        )


_MEANING: dict[Verdict, str] = {
    "passed": "So the adapter was kept.",
    "failed": "So part of the adapter was lost.",
    "unclear": "That is as near as rounding lets anyone see; it hides so small a part of so small an effect.",
    "no effect": "The adapter changes nothing measurable: rounding alone does as much.",
}


@dataclass(slots=True)
class Tally:
    """Divergences and agreements of one model from the reference, token by token."""

    divergences: list[float] = field(default_factory=list)
    agreements: int = 0

    def add(self, divergence: float, agrees: bool) -> None:
        """Count one more token."""
        self.divergences.append(divergence)
        self.agreements += agrees


def conclude(merged: Tally, bare: Tally, rounded: Tally, source: str) -> Verification:
    """The figures of tallies over the same tokens (``rounded``: over some of them), of which there must be some."""
    return Verification(
        kl_merged=_mean(merged.divergences),
        kl_effect=_mean(bare.divergences),
        kl_merged_p99=float(np.percentile(merged.divergences, 99)),
        kl_effect_p99=float(np.percentile(bare.divergences, 99)),
        top1_merged=merged.agreements / len(merged.divergences),
        top1_effect=bare.agreements / len(bare.divergences),
        kl_noise=_mean(rounded.divergences),
        n_tokens=len(merged.divergences),
        source=source,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
