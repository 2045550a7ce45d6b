"""The checker's prompts: combinations that the split keeps out of training."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from demo.text import coding, legal, medical, smalltalk
from demo.text.example import Example, draw

if TYPE_CHECKING:
    from collections.abc import Callable

MAKERS: dict[str, Callable[[Random], Example]] = {
    "chat": smalltalk.make,
    "coding": coding.make_chain,
    "legal": legal.make,
    "medical": medical.make,
}


def held_out(adapter: str, count: int, seed: int = 1) -> list[Example]:
    """Return `count` different held-out examples of an adapter's domain; the same seed gives the same ones."""
    rng, found = Random(f"check:{adapter}:{seed}"), dict[str, Example]()
    while len(found) < count:
        example = draw(MAKERS[adapter], rng, held_out=True)
        found.setdefault(example.key, example)
    return list(found.values())
