"""Prompts that begin alike: one is computed, the others wait for it and take over what they share."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from edgelora.engine.sequence import Sequence

WORTH_WAITING = 16
"""Tokens that two prompts must still have in common; for fewer nobody waits."""


def without_followers(prompts: Seq[Sequence]) -> list[Sequence]:
    """Those of ``prompts`` that must be computed; the others want next what one of these is about to compute.

    The one leads that its client comes to first: it must not wait for others of its own while it holds up somebody
    else's.
    """
    leaders: list[Sequence] = []
    for sequence in _by_own_work(prompts):
        if not any(_follows(sequence, leader) for leader in leaders):
            leaders.append(sequence)
    return [each for each in prompts if each in leaders]


def _by_own_work(prompts: Seq[Sequence]) -> list[Sequence]:
    """``prompts`` by how many tokens their clients must have computed for them, in order of arrival."""
    work: dict[tuple[str, str], int] = {}
    until: dict[Sequence, int] = {}
    for each in prompts:
        until[each] = work[each.client] = work.get(each.client, 0) + each.n_pending
    return sorted(prompts, key=until.__getitem__)


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
