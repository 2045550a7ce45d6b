"""Prompts that begin alike: one is computed, the others wait for it and take over what they share."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from edgelora.engine.sequence import Sequence

WORTH_WAITING = 16
"""Tokens that two prompts must still have in common; for fewer nobody waits."""


def without_followers(prompts: Seq[Sequence]) -> list[Sequence]:
    """Those of ``prompts`` that must be computed; the others want next what one of these is about to compute.

    The one with the least to compute leads, because short prompts are read first.
    """
    leaders: list[Sequence] = []
    for sequence in sorted(prompts, key=lambda each: each.n_pending):
        if not any(_follows(sequence, leader) for leader in leaders):
            leaders.append(sequence)
    return [each for each in prompts if each in leaders]


def _follows(sequence: Sequence, leader: Sequence) -> bool:
    """Have both computed the same, under the same selection, and do they want the same next?"""
    done = len(sequence.held.tokens)
    common = done + WORTH_WAITING
    wanted, led = sequence.request.tokens, leader.request.tokens
    return (
        done == len(leader.held.tokens)
        and common < min(len(wanted), len(led))
        and wanted[done] == led[done]
        and sequence.selection == leader.selection
        and wanted[:common] == led[:common]
    )
