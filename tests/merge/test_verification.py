"""What the figures of a verification mean."""

from __future__ import annotations

import pytest

from edgelora.merge.verification import Tally, Verdict, Verification, conclude


def verification(merged: float, effect: float, noise: float) -> Verification:
    return Verification(merged, effect, merged * 8, effect * 8, 0.99, 0.8, noise, 2048, "a text")


@pytest.mark.parametrize(
    ("merged", "effect", "noise", "verdict"),
    [
        (0.04, 1.0, 1e-6, "passed"),
        (0.05, 1.0, 1e-6, "passed"),
        (0.051, 1.0, 1e-6, "failed"),
        (1.0, 1.0, 1e-6, "failed"),
        (0.0, 1.0, 0.0, "passed"),
        (0.0, 0.0, 0.0, "no effect"),  # no adapter, or one that does nothing
        (0.002, 0.01, 0.001, "unclear"),  # as far away as rounding makes it
        (0.0021, 0.01, 0.001, "failed"),
        (0.002, 0.002, 0.001, "no effect"),
        (0.0, 0.002, 0.001, "no effect"),  # the effect itself may be rounding
        (0.5, 0.002, 0.001, "failed"),  # nothing to keep, and yet the file is another model
    ],
)
def test_the_verdict(merged: float, effect: float, noise: float, verdict: Verdict) -> None:
    found = verification(merged, effect, noise)
    assert found.verdict == verdict
    assert f"{merged:.2g} nats per token" in found.summary


def test_the_summary_says_what_cannot_be_seen() -> None:
    assert "as near as rounding lets anyone see" in verification(0.002, 0.01, 0.001).summary
    assert "changes nothing measurable" in verification(0.0, 0.0, 0.0).summary


def test_figures_are_over_all_tokens() -> None:
    merged, bare, rounded = Tally(), Tally(), Tally()
    for number in range(101):
        merged.add(number / 1000, number % 4 == 0)
        bare.add(0.5, False)
    rounded.add(1e-3, True)
    found = conclude(merged, bare, rounded, "a text")
    assert found.kl_merged == pytest.approx(0.05)
    assert found.kl_merged_p99 == pytest.approx(0.099)
    assert (found.kl_effect, found.kl_effect_p99, found.kl_noise) == (0.5, 0.5, 1e-3)
    assert found.top1_merged == pytest.approx(26 / 101)
    assert (found.top1_effect, found.n_tokens) == (0, 101)
