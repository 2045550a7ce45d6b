"""The training text as batches of token ids: documents of similar length side by side, with what is learned of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from demo.text import documents
from demo.text.conversation import Conversation, Turn, base_conversation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]

DOCUMENT_SHARE = 0.35
IGNORED = -100  # the label that torch's cross entropy leaves out
POOL = 512  # documents that are sorted by length at a time
LONG_SHARE = 0.1  # conversations of many turns
LONGEST = 1024  # tokens of a document; the rest is cut off

Document = Conversation | str


class Encoder(Protocol):
    """What this module needs of a tokenizer."""

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class Tokens:
    """Token ids and labels of one document, equally long; labels are IGNORED where nothing is learned."""

    ids: list[int]
    labels: list[int]


def documents_of_base(rng: Random) -> Iterator[Document]:
    """Yield the base's training text without end: plain documents and conversations."""
    while True:
        kind = rng.random()
        if kind < DOCUMENT_SHARE:
            yield documents.make(rng)
        else:
            yield base_conversation(rng, rng.randint(5, 9) if kind > 1 - LONG_SHARE else rng.randint(1, 4))


def tokens_of(document: Document, encoder: Encoder) -> Tokens:
    """Encode a document: plain text is learned whole, a conversation only where its turns say so."""
    if isinstance(document, str):
        ids = encoder.encode(f"{document}<|endoftext|>")
        return Tokens(ids[:LONGEST], ids[:LONGEST])
    ids, labels = [], []
    for turn in document:
        head, body, tail = _parts(turn, encoder)
        ids += head + body + tail
        learned = body if turn.learn else [IGNORED] * len(body)
        labels += [IGNORED] * len(head) + learned + [IGNORED] * len(tail)
    return Tokens(ids[:LONGEST], labels[:LONGEST])


def batches(documents: Iterator[Tokens], budget: int, rng: Random) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield (ids, labels), both [documents, longest], of at most `budget` tokens with the filling.

    Documents of similar length share a batch: little is filled up, and attention, which costs this small a model as
    much as its matrices do, sees no further than it must.
    """
    while True:
        pool = sorted(islice(documents, POOL), key=lambda tokens: len(tokens.ids))
        groups: list[list[Tokens]] = [[]]
        for tokens in pool:
            if (len(groups[-1]) + 1) * len(tokens.ids) > budget:
                groups.append([])
            groups[-1].append(tokens)
        rng.shuffle(groups)
        yield from map(_filled, groups)


def _filled(group: list[Tokens]) -> tuple[IntArray, IntArray]:
    shape = len(group), len(group[-1].ids)
    ids, labels = np.zeros(shape, np.int64), np.full(shape, IGNORED, np.int64)
    for row, tokens in enumerate(group):
        ids[row, : len(tokens.ids)] = tokens.ids
        labels[row, : len(tokens.ids)] = tokens.labels
    return ids, labels


def render(document: Document) -> str:
    """Return a document as text, as the tokenizer is trained on it."""
    if isinstance(document, str):
        return document
    return "".join(f"{turn.role}\n{turn.text}\n" for turn in document)


def _parts(turn: Turn, encoder: Encoder) -> tuple[list[int], list[int], list[int]]:
    return (
        encoder.encode(f"<|im_start|>{turn.role}\n"),
        encoder.encode(f"{turn.text}<|im_end|>"),
        encoder.encode("\n"),
    )
