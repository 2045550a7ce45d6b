"""Which tokens of which sequences go into the next batch.

Sequences whose adapters the pool holds can share a batch whatever they selected. A selection that llama.cpp must apply
itself needs batches of its own; such groups take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from edgelora.engine.sequence import Sequence
from edgelora.types import Selection

PREFILL_CHUNK = 128
"""Prompt tokens a step: few enough that running answers keep their pace and a cancel is quick."""

TURN = 16
"""Steps that one group gets while others wait; each change costs llama.cpp a rebuild of its scheduler."""

Group = Selection | None
"""None: everything the pool can serve; else the one selection that has the batch for itself."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one sequence to compute in this step; ``wants_logits`` if nothing is left to compute after them."""

    sequence: Sequence
    tokens: list[int]
    wants_logits: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One step's work, all of one group."""

    group: Group
    chunks: Seq[Chunk]


class Scheduler:
    """Waiting and running sequences. Admission is the engine's decision; the order is first come, first served."""

    def __init__(self, batch: int, group_of: Callable[[Selection], Group]) -> None:
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._batch, self._group_of = batch, group_of
        self._turn: Group = None
        self._steps_left = 0

    @property
    def sequences(self) -> list[Sequence]:
        """Everything that has not ended."""
        return [*self.running, *self.waiting]

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence that has ended."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)

    def plan(self) -> Plan:
        """The next step: one token of each answering sequence, then prompts, oldest first."""
        group = self._next_group()
        members = [sequence for sequence in self.running if self._group_of(sequence.selection) == group]
        answering = [sequence for sequence in members if sequence.is_answering]
        chunks = [Chunk(sequence, sequence.pending(1), True) for sequence in answering]
        budget = min(PREFILL_CHUNK, self._batch - len(chunks))
        for sequence in members:
            if budget > 0 and not sequence.is_answering:
                tokens = sequence.pending(budget)
                budget -= len(tokens)
                chunks.append(Chunk(sequence, tokens, len(tokens) == sequence.n_pending))
        return Plan(group, chunks)

    def _next_group(self) -> Group:
        groups = list(dict.fromkeys(self._group_of(sequence.selection) for sequence in self.running))
        if self._turn in groups and self._steps_left > 0:
            self._steps_left -= 1
        else:
            at = groups.index(self._turn) + 1 if self._turn in groups else 0
            self._turn = groups[at % len(groups)]
            self._steps_left = TURN - 1
        return self._turn
