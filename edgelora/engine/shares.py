"""Dividing a number among those who want some of it."""

from __future__ import annotations

from collections.abc import Sequence


def equal_shares(wanted: Sequence[int], available: int) -> list[int]:
    """What each gets of ``available``: as much as everybody, or what was ``wanted`` if that is less.

    What does not divide goes to those who want most.
    """
    given = [0] * len(wanted)
    by_size = sorted(range(len(wanted)), key=lambda i: (wanted[i], -i))
    for rank, i in enumerate(by_size):
        given[i] = min(wanted[i], available // (len(wanted) - rank))
        available -= given[i]
    return given
