"""Which tokens of which sequences go into the next batch.

Sequences whose adapters the pool holds can share a batch whatever they selected. A selection that llama.cpp must apply
itself needs batches of its own; such groups take turns. What is in the background is planned while nothing else runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from itertools import count

from edgelora.engine.following import without_followers
from edgelora.engine.pace import Pace
from edgelora.engine.prefill import divide
from edgelora.engine.sequence import Sequence
from edgelora.engine.waiting import WaitingQueue
from edgelora.errors import EngineError
from edgelora.types import Selection

TURN = 16
"""Steps that one group gets while others wait; each change costs llama.cpp a rebuild of its scheduler."""

FLUENT = 0.3
"""Seconds a step that nobody minds: about as quick as one reads. Less would cost all of them speed."""

LONGEST = 1.0
"""Seconds that a step may take while nobody reads an answer: a cancel, or a newcomer, waits for it."""

ROWS = 16
"""Batches of more tokens hold a multiple of it, while prompts have so many. llama.cpp multiplies quantized weights with
four tokens at a time, and what is left over one by one, each as slowly as a batch of its own.
Source: ``forward_mul_mat_one_chunk``, ggml/src/ggml-cpu/repack.cpp."""

ENDED_KEPT = 64
"""Requests that have ended and are kept until their deadline, beside as many as have not ended."""

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

    @property
    def n_tokens(self) -> int:
        """The size of the batch."""
        return sum(len(chunk.tokens) for chunk in self.chunks)


class Scheduler:
    """Waiting and running sequences, at most ``places`` of these. Admission is the engine's decision."""

    def __init__(
        self, *, batch: int, places: int, max_waiting: int, pace: Pace, group_of: Callable[[Selection], Group]
    ) -> None:
        self.waiting = WaitingQueue(max_waiting)
        self.running: list[Sequence] = []
        self.places = places
        self._by_id: dict[str, Sequence] = {}
        self._deadlines: list[tuple[float, int, Sequence]] = []  # a heap, a few of which have ended
        self._numbers = count()
        self._batch, self._pace, self._group_of = batch, pace, group_of
        self._turn: Group = None
        self._steps_left = 0

    @property
    def sequences(self) -> list[Sequence]:
        """Everything that has not ended."""
        return list(self._by_id.values())

    @property
    def in_background(self) -> list[Sequence]:
        """What runs in the background, oldest first."""
        return [sequence for sequence in self.running if sequence.request.background]

    @property
    def n_foreground(self) -> int:
        """How many run that are not in the background."""
        return len(self.running) - len(self.in_background)

    @property
    def has_work(self) -> bool:
        """Is there anything to plan? What is in the background stands back for others even while they wait."""
        return bool(self.n_foreground) or bool(self.running and not self.waiting.in_turn())

    def find(self, request: str) -> Sequence | None:
        """The sequence of a request that has not ended."""
        return self._by_id.get(request)

    def submit(self, sequence: Sequence) -> None:
        """Have it wait for admission. Raises EngineError where its id is taken, QueueFullError."""
        request = sequence.request
        if request.id in self._by_id:
            raise EngineError(f"a request with the id {request.id} is running already")
        self.waiting.add(sequence, self.places - len(self.running))
        self._by_id[request.id] = sequence
        if request.deadline_s is not None:
            heapq.heappush(self._deadlines, (sequence.deadline, next(self._numbers), sequence))

    def admit(self, sequence: Sequence) -> None:
        """It has all that it needs, and runs from now on."""
        self.waiting.take(sequence)
        self.running.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence that has ended."""
        del self._by_id[sequence.request.id]
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        if len(self._deadlines) > 2 * len(self._by_id) + ENDED_KEPT:
            self._deadlines = [each for each in self._deadlines if self._is_alive(each[2])]
            heapq.heapify(self._deadlines)

    def _is_alive(self, sequence: Sequence) -> bool:
        return self._by_id.get(sequence.request.id) is sequence

    def overdue(self, now: float) -> list[Sequence]:
        """Those whose deadline has passed, each once."""
        due = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, sequence = heapq.heappop(self._deadlines)
            if self._is_alive(sequence):
                due.append(sequence)
        return due

    def plan(self) -> Plan:
        """The next step: one token of each answering sequence, and as many of prompts as there is time for."""
        running = [sequence for sequence in self.running if not sequence.request.background] or self.running
        group = self._next_group(running)
        members = [sequence for sequence in running if self._group_of(sequence.selection) == group]
        answering = [sequence for sequence in members if sequence.is_answering]
        prompts = without_followers([sequence for sequence in members if not sequence.is_answering])
        chunks = [Chunk(sequence, sequence.pending(1), True) for sequence in answering]
        if prompts:
            budget = self._prefill_budget(len(answering), len(prompts), background=prompts[0].request.background)
            for sequence, n_tokens in zip(prompts, divide(prompts, budget), strict=True):
                if n_tokens:
                    chunks.append(Chunk(sequence, sequence.pending(n_tokens), n_tokens == sequence.n_pending))
        return Plan(group, chunks)

    def _prefill_budget(self, n_answering: int, n_prompts: int, *, background: bool) -> int:
        """Prompt tokens of a step, at least one each: answers keep half of their pace, and less only beside more
        prompts than answers."""
        if n_answering:
            share = max(2.0, 1 + n_prompts / n_answering)
            seconds = max(FLUENT, share * self._pace.seconds(n_answering))
        else:
            seconds = FLUENT if background else LONGEST
        fitting = self._pace.tokens(seconds, self._batch)
        even = fitting - fitting % ROWS or fitting
        return max(n_prompts, even - n_answering)

    def _next_group(self, running: Seq[Sequence]) -> Group:
        groups = list(dict.fromkeys(self._group_of(sequence.selection) for sequence in running))
        if self._turn in groups and self._steps_left > 0:
            self._steps_left -= 1
        else:
            at = groups.index(self._turn) + 1 if self._turn in groups else 0
            self._turn = groups[at % len(groups)]
            self._steps_left = TURN - 1
        return self._turn
