"""One request on its way: what is computed of it, what it may still produce, and when things happened."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from edgelora.engine.kv import Slot
from edgelora.engine.text import TextStream
from edgelora.native.sampler import Sampler
from edgelora.types import AttestedAdapter, Finished, FinishReason, Request, Selection, TokenLogprob


@dataclass(slots=True, eq=False)
class Sequence:
    """``limit`` is the most tokens it may produce. Until it is admitted it has neither slot nor sampler."""

    request: Request
    limit: int
    attested: tuple[AttestedAdapter, ...]
    text: TextStream
    submitted: float = field(default_factory=time.perf_counter)
    slot: Slot | None = None
    sampler: Sampler | None = None
    reused: int = 0
    ahead: int = 0  # tokens of its prompt computed before its equal shares would have come to them
    overtaken: int = 0  # how often, since it was the next of its client
    blocked_at: int = -1  # no room then, on the intake's count of what was given back
    produced: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)  # of text that was not said yet
    first_token: float = 0.0
    last_token: float = 0.0

    @property
    def selection(self) -> Selection:
        """What it runs under, from beginning to end."""
        return self.request.selection

    @property
    def client(self) -> tuple[str, str]:
        """Whose it is; a request that names no client is a client of its own."""
        return (self.request.client, "" if self.request.client else self.request.id)

    @property
    def deadline(self) -> float:
        """When it must have ended, on the clock of ``submitted``."""
        limit = self.request.deadline_s
        return math.inf if limit is None else self.submitted + limit

    @property
    def held(self) -> Slot:
        """Its slot, once it is admitted."""
        assert self.slot is not None
        return self.slot

    @property
    def n_pending(self) -> int:
        """How many of its tokens, prompt and answer, are not in the KV cache."""
        return len(self.request.tokens) + len(self.produced) - len(self.held.tokens)

    @property
    def is_answering(self) -> bool:
        """Is there nothing left to compute but the token chosen last?"""
        return bool(self.produced) and self.n_pending == 1

    @property
    def wants_tokens(self) -> bool:
        """Does it produce anything, or only fill the cache?"""
        return self.limit > 0

    def pending(self, budget: int) -> list[int]:
        """The next tokens to compute, at most ``budget``."""
        done, prompt = len(self.held.tokens), self.request.tokens
        if done >= len(prompt):
            return self.produced[done - len(prompt) :][:budget]
        return [*prompt[done:], *self.produced][:budget] if self.produced else list(prompt[done : done + budget])

    def note_token(self, token: int) -> None:
        """``token`` was chosen."""
        self.last_token = time.perf_counter()
        self.first_token = self.first_token or self.last_token
        self.produced.append(token)

    def finished(self, reason: FinishReason) -> Finished:
        """The event of its end."""
        elapsed = self.last_token - self.first_token
        return Finished(
            request=self.request.id,
            reason=reason,
            adapters=self.attested,
            prompt_tokens=len(self.request.tokens),
            reused_tokens=self.reused,
            completion_tokens=len(self.produced),
            ttft_ms=max(0.0, self.first_token - self.submitted) * 1e3,
            tok_per_s=(len(self.produced) - 1) / elapsed if elapsed > 0 else 0.0,
        )
