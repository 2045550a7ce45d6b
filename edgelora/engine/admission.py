"""What a sequence needs before it may run, and how it gives that back: adapters, a sampler, a place in the KV cache."""

from __future__ import annotations

from edgelora.engine.kv import KVStore
from edgelora.engine.residency import Residency
from edgelora.engine.rows import PoolFullError
from edgelora.engine.sequence import Sequence
from edgelora.engine.text import TextStream
from edgelora.errors import ContextOverflowError, EngineError, MemoryLimitError
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

    def admit(self, sequence: Sequence, *, alone: bool) -> bool:
        """Give the sequence adapters, sampler and slot. False, and nothing taken, while others have them.

        Raises MemoryLimitError where its adapters find no room although it is ``alone``, and what loading them raises.
        """
        try:
            self._residency.acquire(sequence.selection)
        except PoolFullError:
            if alone:
                raise no_room(len(sequence.selection.members)) from None
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


def no_room(adapters: int) -> MemoryLimitError:
    """What to say when so many adapters do not fit together."""
    which = "this adapter" if adapters == 1 else f"these {adapters} adapters together"
    return MemoryLimitError(
        f"there is no memory left for {which}", "Wait for a running answer to end, or close other programs."
    )
