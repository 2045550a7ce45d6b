"""Sequences without an engine, for what decides about them."""

from __future__ import annotations

from zlib import crc32

from edgelora.engine.kv import Slot
from edgelora.engine.sequence import Sequence
from edgelora.engine.text import TextStream
from edgelora.types import BASE, Request, SamplingParams


def sequence(
    id_: str, n_tokens: int = 8, *, client: str = "", max_tokens: int = 4, background: bool = False, **request: object
) -> Sequence:
    """One that waits, with a prompt of ``n_tokens`` of its own."""
    first = crc32(id_.encode())
    sampling = SamplingParams(max_tokens=max_tokens, temperature=0)
    asked = Request(
        id_,
        tuple(range(first, first + n_tokens)),
        BASE,
        sampling,
        client=client,
        background=background,
        **request,  # type: ignore[arg-type]
    )
    return Sequence(asked, max_tokens, (), TextStream())


def give_slot(waiting: Sequence, number: int = 0) -> Sequence:
    """It has what it needs to run."""
    waiting.slot = Slot(number, waiting.selection)
    return waiting
