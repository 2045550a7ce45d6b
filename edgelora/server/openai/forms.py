"""The documents that OpenAI's clients get: choices, usage, logarithms of probabilities."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from edgelora.server.attestation import attestation, system_fingerprint, timings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgelora.server.weights import Weights
    from edgelora.types import AttestedAdapter, Finished, TokenLogprob, TopToken


class Envelope:
    """What every document of one answer has in common."""

    def __init__(
        self, prefix: str, kind: str, model: str, weights: Weights, adapters: Sequence[AttestedAdapter]
    ) -> None:
        self.kind = kind
        self._common = {
            "id": f"{prefix}-{uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": system_fingerprint(weights, adapters),
        }

    def document(self, choices: Sequence[dict[str, Any]], *, kind: str = "", **more: object) -> dict[str, Any]:
        """One document with ``choices``."""
        return {**self._common, "object": kind or self.kind, "choices": list(choices), **more}


def usage(made: Sequence[Finished], prompts: int = 1) -> dict[str, Any]:
    """Tokens of ``prompts`` different prompts, each with as many answers, and of all their answers."""
    first = made[:: max(1, len(made) // prompts)]
    prompt, completion = sum(one.prompt_tokens for one in first), sum(one.completion_tokens for one in made)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(one.reused_tokens for one in first)},
    }


def made_by(weights: Weights, made: Finished) -> dict[str, Any]:
    """The field ``edgelora``: what made the answer, and how quickly."""
    return attestation(weights, made.adapters) | timings(made)


def chat_logprobs(tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    """``logprobs`` of a chat answer."""
    return {
        "content": [_entry(one) | {"top_logprobs": [_entry(top) for top in one.top]} for one in tokens],
        "refusal": None,
    }


def text_logprobs(tokens: Sequence[TokenLogprob], start: int = 0) -> dict[str, Any]:
    """``logprobs`` of a completion; ``start`` is where in the text its first token begins."""
    offsets, at = [], start
    for one in tokens:
        offsets.append(at)
        at += len(_text(one))
    return {
        "tokens": [_text(one) for one in tokens],
        "token_logprobs": [one.logprob for one in tokens],
        "top_logprobs": [{_text(top): top.logprob for top in one.top} for one in tokens],
        "text_offset": offsets,
    }


def _entry(one: TopToken) -> dict[str, Any]:
    return {"token": _text(one), "logprob": one.logprob, "bytes": list(one.piece)}


def _text(one: TopToken) -> str:
    return one.piece.decode("utf-8", "replace")
