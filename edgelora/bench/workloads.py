"""What is measured with: token sequences that share nothing, so that no cache helps by accident."""

from __future__ import annotations

import random

CONVERSATIONS = (0, 256, 1000)
"""Lengths of the conversation before a swap, in tokens."""

QUESTION = 16
"""Tokens of the message that a person sends after a swap."""

STEP_POSITION = 32
"""Tokens before the step whose time is taken: few, so that attention is as cheap as in a plain context."""


def random_tokens(length: int, n_vocab: int, seed: int) -> tuple[int, ...]:
    """``length`` tokens; those of another seed have no common prefix but by rare chance."""
    chosen = random.Random(seed)
    return tuple(chosen.randrange(n_vocab) for _ in range(length))
