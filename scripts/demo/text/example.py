"""What every domain of the generator produces, and which combinations are kept out of training."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Example:
    """One request of a domain, in several wordings, with the base's plain answer and the adapter's styled one.

    `setup` states the facts in a remark, `reply` is the base's answer to it, and `followup` is a request that
    can only be answered by somebody who has read the setup. `key` names the combination (topic, parties,
    complaint, task) that decides between training and checking.
    """

    domain: str
    key: str
    facts: Mapping[str, str]
    prompt: str
    plain: str
    styled: str
    setup: str
    reply: str
    followup: str


def is_held_out(key: str) -> bool:
    """Whether a combination is kept for checking: a fixed tenth, by hash, whatever the random source says."""
    digest = blake2b(key.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") < HELD_OUT_SHARE * 2**32


def draw(make: Callable[[Random], Example], rng: Random, *, held_out: bool = False) -> Example:
    """Draw examples until one is on the wanted side of the split."""
    while True:
        example = make(rng)
        if is_held_out(example.key) == held_out:
            return example
