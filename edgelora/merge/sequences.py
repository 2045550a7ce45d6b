"""What is read to measure a merge: texts of our own that ship with the package.

There are two, without a sentence in common: one to calibrate with, one to verify with. Both mix prose, dialogue, code,
lists, figures and a few sentences in other languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np

from edgelora.merge.forward import SEQUENCE
from edgelora.native.model import Model

Part = Literal["calibration", "verification"]

N_TOKENS = 2048
"""How many tokens are read where nothing else is asked for."""

_SEEDS: dict[Part, int] = {"calibration": 20_001, "verification": 20_002}


@dataclass(frozen=True, slots=True)
class Sample:
    """Token sequences of one part, each to be read without a past. ``source`` says what they are."""

    sequences: tuple[tuple[int, ...], ...]
    source: str

    @property
    def n_tokens(self) -> int:
        """Tokens in all sequences together."""
        return sum(map(len, self.sequences))


def text_of(part: Part) -> str:
    """The text of one part."""
    return resources.files("edgelora.merge").joinpath("texts", f"{part}.txt").read_text("utf-8")


def sample(model: Model, part: Part, n_tokens: int = N_TOKENS) -> Sample:
    """At least ``n_tokens`` tokens of one part (all there are if it has fewer), in the vocabulary of ``model``.

    Sequences are taken evenly from the whole text, so that each kind of text has its share. A base without a
    vocabulary gets pseudo-random tokens, always the same ones.
    """
    wanted = -(-n_tokens // SEQUENCE)
    if not model.has_vocabulary:
        drawn = np.random.default_rng(_SEEDS[part]).integers(0, model.n_vocab, (wanted, SEQUENCE))
        return Sample(tuple(map(tuple, drawn.tolist())), "pseudo-random tokens, as the base has no vocabulary")
    start = model.tokenize("", parse_special=False, add_special=True)[:1]  # the token that a text begins with, if any
    tokens = model.tokenize(text_of(part), parse_special=False, add_special=False)
    step = SEQUENCE - len(start)
    found = [(*start, *tokens[at : at + step]) for at in range(0, len(tokens) - step + 1, step)]
    taken = [found[at * len(found) // wanted] for at in range(wanted)] if len(found) > wanted else found
    return Sample(tuple(taken), f"the {part} text of edgelora")
