"""The store on real caches: whatever it reuses, the logits are those of an empty cache."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.kv_machine import CELLS, SEQUENCES, Machine, same
from support.memory_bases import BASES

from edgelora.engine.kv import KVStore, Slot
from edgelora.engine.parking import Parking
from edgelora.types import BASE

REQUESTS = 40
LONGEST = 60
"""Tokens of a conversation: several windows, and too many for all to stay in the cache."""


@pytest.mark.parametrize("kind", BASES)
def test_what_is_reused_gives_the_logits_of_an_empty_cache(kind: str, tmp_path: Path) -> None:
    machine, empty = (Machine(BASES[kind](tmp_path / f"{name}.gguf")) for name in ("base", "same"))
    store = KVStore(machine.memory, CELLS, SEQUENCES, Parking(2**20))
    rng = random.Random(5)
    held: list[Slot] = []
    conversations = [[rng.randrange(40) for _ in range(rng.randrange(4, 20))] for _ in range(6)]
    reused = 0
    for _ in range(REQUESTS):
        tokens = rng.choice(conversations)
        if len(held) == SEQUENCES - 1:
            store.release(held.pop(0))
        slot = store.acquire(BASE, tokens, len(tokens), recompute_last=True)
        if slot is None:
            store.release(held.pop(0))
            continue
        reused += (done := len(slot.tokens))
        logits = machine.compute(slot.sequence, tokens[done:], position=done)
        slot.tokens.extend(tokens[done:])
        assert same(logits, empty.cold(tokens)), (done, len(tokens))
        held.append(slot)
        grow(conversations, tokens, rng)
    assert reused > 10 * REQUESTS / 4
    assert store.parking.counts.restored > 0
    for each in (machine, empty):
        each.close()


def grow(conversations: list[list[int]], tokens: list[int], rng: random.Random) -> None:
    """What comes next: the conversation goes on, is asked again, branches, or another begins."""
    at = conversations.index(tokens)
    kind = rng.choice(["on", "on", "again", "branch"])
    more = [rng.randrange(40) for _ in range(rng.randrange(1, 20))]
    if kind == "branch":
        conversations.append([*tokens[: rng.randrange(1, len(tokens))], *more])
    elif kind == "on":
        conversations[at] = [*tokens, *more] if len(tokens) < LONGEST else more
