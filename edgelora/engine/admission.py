"""What a sequence needs before it may run, and how it gives that back: adapters, a sampler, a place in the KV cache."""

from __future__ import annotations

from edgelora.engine.kv import KVStore
from edgelora.engine.residency import Residency
from edgelora.engine.sequence import Sequence
from edgelora.engine.text import TextStream
from edgelora.errors import ContextOverflowError, EngineError
from edgelora.native.model import Model
from edgelora.native.sampler import Sampler
from edgelora.types import Request


class Admission:
    """Checks requests, and gives sequences what they need: all of it or nothing."""

    def __init__(self, model: Model, residency: Residency, kv: KVStore, ctx: int) -> None:
        self._model, self._residency, self._kv, self._ctx = model, residency, kv, ctx

    def new_sequence(self, request: Request) -> Sequence:
        """The sequence of ``request``, not admitted yet. Raises what is wrong with it."""
        if not request.tokens or not all(0 <= token < self._model.n_vocab for token in request.tokens):
            raise EngineError("the prompt must hold at least one token, all of them of the base's vocabulary")
        if not all(0 <= token < self._model.n_vocab for token, _ in request.sampling.logit_bias):
            raise EngineError("logit_bias names a token that is not of the base's vocabulary")
        room = self._ctx - len(request.tokens)
        wanted = request.sampling.max_tokens
        if room < (wanted != 0):
            raise ContextOverflowError(
                f"the conversation has {len(request.tokens)} tokens, and the context holds {self._ctx} with the answer",
                "Start a new conversation, shorten the message, or choose a larger --ctx.",
            )
        self._residency.require_known(request.selection)
        limit = room if wanted is None else min(wanted, room)
        return Sequence(request, limit, self._residency.attest(request.selection), TextStream(request.sampling.stop))

    def is_read(self, sequence: Sequence) -> bool:
        """Are its adapters resident, or ready to be? Others are read from now on. Raises what is wrong with them."""
        return self._residency.is_ready(sequence.selection)

    def admit(self, sequence: Sequence) -> bool:
        """Give the sequence adapters, sampler and slot. False, and nothing taken, while files are being read or others
        have them.

        Raises what loading its adapters raises, MemoryLimitError where they find no room although nobody has any.
        """
        if not self._residency.acquire(sequence.selection):
            return False
        try:
            sequence.sampler = Sampler(self._model, sequence.request.sampling, sequence.request.tokens)
            if self._give_slot(sequence):
                sequence.reused = len(sequence.held.tokens)
                return True
        except Exception:
            self.give_back(sequence)
            raise
        self.give_back(sequence)
        return False

    def catch_up(self, sequence: Sequence) -> None:
        """Take over what others have computed of its prompt since it was admitted."""
        before = len(sequence.held.tokens)
        self._kv.catch_up(sequence.held, sequence.request.tokens)
        sequence.reused += len(sequence.held.tokens) - before

    def give_back(self, sequence: Sequence) -> None:
        """The counterpart of one successful :meth:`admit`."""
        if sequence.sampler:
            sequence.sampler.free()
        if sequence.slot:
            self._kv.release(sequence.slot)
        self._residency.release(sequence.selection)

    def _give_slot(self, sequence: Sequence) -> bool:
        tokens = sequence.request.tokens
        sequence.slot = self._kv.acquire(
            sequence.selection, tokens, len(tokens) + sequence.limit, recompute_last=sequence.wants_tokens
        )
        return sequence.slot is not None
