"""How many tokens of which prompts a step reads: in the order in which equal shares would complete them, and no later.

With equal shares of every step the tokens of all prompts would lie in turn in the KV cache. Attention leaves out tiles
of 64 tokens by 64 cells that have nothing to do with each other, and there would be none: sixteen prompts of 512 tokens
take half as long again. So clients share equally on paper, and prompts are read one after the other. Nobody is later
than with equal shares. Source: "fair sojourn protocol", Friedman and Henderson, Fairness and efficiency in web server
protocols, 2003.

Nobody is earlier either, where others can use the time: an answer that has begun slows their prompts down.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

from edgelora.engine.sequence import Sequence
from edgelora.engine.shares import equal_shares


def divide(prompts: Seq[Sequence], budget: int) -> list[int]:
    """How many tokens each of ``prompts`` gets of ``budget``, all of which is used while they have so many.

    Changes what each is ahead of its equal shares.
    """
    _settle(prompts)
    shares = _equal(prompts, budget)
    due = [_left_on_paper(each) == share for each, share in zip(prompts, shares, strict=True)]
    given = [0] * len(prompts)
    order = _order(prompts, shares)
    for held_back in (1, 0):
        for i in order:
            most = prompts[i].n_pending - (0 if due[i] else held_back)
            more = min(most - given[i], budget)
            given[i] += more
            budget -= more
    for each, got, share in zip(prompts, given, shares, strict=True):
        each.ahead += got - share
    return given


def _settle(prompts: Seq[Sequence]) -> None:
    """Make even what some are ahead and others behind: a cancelled prompt leaves with its part of it."""
    ahead = sum(max(0, each.ahead) for each in prompts)
    behind = sum(max(0, -each.ahead) for each in prompts)
    for each in prompts:
        if each.ahead > 0 and ahead > behind:
            each.ahead = each.ahead * behind // ahead
        elif each.ahead < 0 and behind > ahead:
            each.ahead = -(-each.ahead * ahead // behind)


def _left_on_paper(sequence: Sequence) -> int:
    """What equal shares would have left of it; nothing where another has computed the rest of it."""
    return max(0, sequence.n_pending + sequence.ahead)


def _equal(prompts: Seq[Sequence], budget: int) -> list[int]:
    """The equal share of each: clients share equally, one client's are first come, first served."""
    wanted: dict[tuple[str, str], int] = {}
    for each in prompts:
        wanted[each.client] = wanted.get(each.client, 0) + _left_on_paper(each)
    left = dict(zip(wanted, equal_shares(list(wanted.values()), budget), strict=True))
    shares = []
    for each in prompts:
        shares.append(min(left[each.client], _left_on_paper(each)))
        left[each.client] -= shares[-1]
    return shares


def _order(prompts: Seq[Sequence], shares: Seq[int]) -> list[int]:
    """Indices of ``prompts``, those first that equal shares would complete first from now on."""
    before: dict[tuple[str, str], int] = {}
    until = []
    for each, share in zip(prompts, shares, strict=True):
        before[each.client] = before.get(each.client, 0) + _left_on_paper(each) - share
        until.append(before[each.client])
    return sorted(range(len(prompts)), key=until.__getitem__)
