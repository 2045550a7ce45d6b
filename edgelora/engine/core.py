"""The engine itself: synchronous, in one thread, a step at a time.

A step admits waiting sequences, computes one batch, chooses tokens and reports events. Whatever fails, fails for the
sequences it concerns; the others go on.
"""

from __future__ import annotations

import time

from edgelora.engine.admission import Admission
from edgelora.engine.assembly import assemble
from edgelora.engine.batching import Batching, StepTimes
from edgelora.engine.embedding import Embedder
from edgelora.engine.failures import NotFiniteError, as_error, too_late
from edgelora.engine.intake import Intake
from edgelora.engine.pace import Pace
from edgelora.engine.scheduler import Chunk, Group, Plan, Scheduler
from edgelora.engine.sequence import Sequence
from edgelora.errors import AdapterTooLargeError, EdgeloraError, EngineError, MemoryLimitError
from edgelora.native.logprobs import token_logprob
from edgelora.types import (
    AdapterFile,
    AdapterStatus,
    EngineConfig,
    EngineStats,
    Event,
    Failed,
    Finished,
    FinishReason,
    Prefilling,
    ReportProgress,
    Request,
    Selection,
    Started,
    Token,
    ignore_progress,
)

READER_WAIT = 0.005
"""Seconds that a step with nothing to compute waits for an adapter that is being read; a command waits no longer."""


class EngineCore:
    """One base, its adapters and its sequences. Not thread-safe: one thread owns it.

    Raises GGUFError, MemoryLimitError or EngineError when the base cannot be opened.
    """

    def __init__(self, config: EngineConfig, report: ReportProgress = ignore_progress) -> None:
        parts = assemble(config, report)
        self.config, self.base = config, parts.base
        self.times = StepTimes()
        self.residency = parts.residency
        self._model, self._context, self._native = parts.model, parts.context, parts.native
        self._masker, self._pool, self._kv, self._plan = parts.masker, parts.pool, parts.kv, parts.plan
        self._admission = Admission(self._model, self.residency, self._kv, self._plan.ctx)
        self._batching = Batching(self._context, self._masker, self._pool, self.residency, config.batch)
        self._pace = Pace()
        self._scheduler = Scheduler(
            batch=config.batch,
            places=config.max_sequences,
            max_waiting=config.max_waiting,
            pace=self._pace,
            group_of=self._group_of,
        )
        self._intake = Intake(
            self._scheduler, self._admission, begin=self._begin, refuse=self._refuse, drop=self._cancel
        )
        self.embedder = Embedder(self._model, config, self._plan, self.residency.file_of)
        self._events: list[Event] = []

    # --- what callers ask for

    @property
    def busy(self) -> bool:
        """Is there anything to compute or to report?"""
        return bool(self._scheduler.sequences or self._events or self.residency.events)

    def submit(self, request: Request) -> None:
        """Queue ``request``. What is wrong with it comes as its Failed event."""
        try:
            self._scheduler.submit(self._admission.new_sequence(request))
            self._intake.note_arrival()
        except Exception as error:
            self._events.append(Failed(request.id, as_error(error)))

    def cancel(self, request: str) -> None:
        """End a request now; unknown ids are ignored."""
        if sequence := self._scheduler.find(request):
            self._cancel(sequence)

    def load(self, file: AdapterFile) -> AdapterStatus:
        """Make ``file`` resident now, whoever waits meanwhile. Raises AdapterError, GGUFError or EngineError."""
        while (status := self.try_load(file)) is None:
            self.residency.wait(1.0)
            self.residency.tick()
        return status

    def try_load(self, file: AdapterFile) -> AdapterStatus | None:
        """Make ``file`` resident; None while it is being read, which goes on beside the steps: ask again."""
        try:
            return self.residency.load(file)
        except AdapterTooLargeError:
            raise  # whoever leaves
        except MemoryLimitError:
            if not self._scheduler.in_background:
                raise
            self._cancel(self._scheduler.in_background[-1])  # it may hold what is missing
            return None
        except NotFiniteError:
            self._purge()
            raise

    def pin(self, sha256: str, pinned: bool) -> None:
        """Keep an adapter from being evicted to make room, or no longer. Raises UnknownAdapterError."""
        self._intake.note_freed()
        self.residency.pin(sha256, pinned)

    def stats(self) -> EngineStats:
        """Memory, counts and load times at this moment."""
        residency, log = self.residency, self.residency.loads
        return EngineStats(
            weights_bytes=self._plan.weights,
            kv_bytes=self._plan.kv,
            pool_bytes=residency.memory.nbytes,
            prepared_bytes=residency.prepared.nbytes,
            running=len(self._scheduler.running),
            waiting=len(self._scheduler.waiting),
            resident=len(residency.memory),
            prepared=len(residency.prepared),
            cold_loads=log.count,
            evictions=residency.evictions,
            load_p50=log.percentile(50),
            load_p95=log.percentile(95),
            load_ms_p95=log.total_percentile(95),
            kv=self._kv.stats(),
            acquired=residency.n_used,
            budget_bytes=self._plan.budget,
        )

    def know(self, file: AdapterFile, status: AdapterStatus, *, pinned: bool) -> None:
        """Take over what a former engine found out about ``file``: it is loaded when a request needs it."""
        self.residency.know(file, status)
        self.residency.pin(file.sha256, pinned)

    def evict(self, sha256: str) -> bool:
        """Give an adapter's memory back. False while it is in use."""
        evicted = self.residency.evict(sha256)
        if evicted:
            self._intake.note_freed()
        return evicted

    def park_conversations(self) -> None:
        """Save what no request uses and free its room, as happens when that is needed."""
        self._kv.park_idle()

    def forget_conversations(self) -> None:
        """Forget what no request uses, parked ones too: what comes next is computed as by a new engine."""
        self._kv.forget_idle()

    def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> tuple[int, ...]:
        """The token ids of ``text``."""
        return self._model.tokenize(text, parse_special=parse_special, add_special=add_special)

    def detokenize(self, tokens: tuple[int, ...]) -> bytes:
        """The bytes of ``tokens``; control tokens have none. Raises EngineError where one is not of the vocabulary."""
        if not all(0 <= token < self._model.n_vocab for token in tokens):
            raise EngineError(f"a token is not of the base's vocabulary of {self._model.n_vocab}")
        return b"".join(map(self._model.piece, tokens))

    def step(self) -> list[Event]:
        """Compute one batch and return what happened. Never raises an EdgeloraError; it is an event."""
        self.times = StepTimes()
        began = time.perf_counter()
        if self.residency.tick():
            self._intake.note_arrival()
        for sequence in self._scheduler.overdue(began):
            self._expire(sequence)
        self._intake.admit()
        self.times.admit = time.perf_counter() - began
        if self._scheduler.has_work:
            self._catch_up()
            self._compute(self._scheduler.plan())
        elif not self._events:
            self.residency.wait(READER_WAIT)
        events = [*self.residency.events, *self._events]
        self.residency.events.clear()
        self._events.clear()
        return events

    def close(self) -> None:
        """End everything as cancelled and free it. Safe to call twice."""
        for sequence in self._scheduler.sequences:
            self._cancel(sequence)
        self._kv.parking.close()
        self.embedder.close()
        self.residency.close()
        self._native.close()

    # --- beginnings

    def _begin(self, sequence: Sequence) -> None:
        request = sequence.request
        self._events.append(Started(request.id, sequence.attested, len(request.tokens), sequence.reused))
        if sequence.reused == len(request.tokens):  # a prefill that finds everything done
            self._end(sequence, "length")

    def _refuse(self, sequence: Sequence, error: Exception) -> None:
        """It cannot be admitted, whoever leaves."""
        self._let_go(sequence)
        self._events.append(Failed(sequence.request.id, as_error(error)))
        if isinstance(error, NotFiniteError):
            self._purge()

    def _catch_up(self) -> None:
        """Prompts that begin alike are computed once: the others follow the first."""
        if len(self._scheduler.running) > 1:
            for sequence in self._scheduler.running:
                if not sequence.produced:
                    self._admission.catch_up(sequence)

    # --- one batch

    def _group_of(self, selection: Selection) -> Group:
        return selection if self.residency.exclusive else None

    def _compute(self, plan: Plan) -> None:
        try:
            rows = self._batching.compute(plan)
        except EdgeloraError as error:
            self._fail(plan, error)
            return
        except BaseException:
            self._fail(plan, EngineError("the answer was interrupted", "Ask again."))
            raise
        self._pace.learn(plan.n_tokens, self._batching.mask_s + self._batching.decode_s)
        computed = time.perf_counter()
        for chunk, row in zip(plan.chunks, rows, strict=True):
            self._advance(chunk, row)
        self.times.mask, self.times.decode = self._batching.mask_s, self._batching.decode_s
        self.times.choose = time.perf_counter() - computed
        self.times.n_tokens = plan.n_tokens

    def _advance(self, chunk: Chunk, row: int) -> None:
        sequence, slot = chunk.sequence, chunk.sequence.held
        slot.tokens.extend(chunk.tokens)
        if not sequence.produced:
            done, total = len(slot.tokens), len(sequence.request.tokens)
            self._events.append(Prefilling(sequence.request.id, done - sequence.reused, total - sequence.reused))
        if not chunk.wants_logits:
            return
        if sequence.wants_tokens:
            self._choose(sequence, row)
        else:
            self._end(sequence, "length")

    def _choose(self, sequence: Sequence, row: int) -> None:
        assert sequence.sampler is not None
        n_top = sequence.request.sampling.logprobs
        try:
            token = sequence.sampler.sample(self._context, row)
        except EdgeloraError as error:  # a grammar that allows nothing
            self._let_go(sequence)
            self._events.append(Failed(sequence.request.id, error))
            return
        if n_top is not None:
            sequence.logprobs.append(token_logprob(self._model, self._context.logits(row), token, n_top))
        self._take(sequence, token)

    def _take(self, sequence: Sequence, token: int) -> None:
        """The sequence's next token is chosen."""
        sequence.note_token(token)
        if self._model.ends_generation(token) or token in sequence.request.sampling.stop_tokens:
            del sequence.logprobs[-1:]
            self._end(sequence, "stop")
            return
        self._say(sequence, sequence.text.feed(self._model.piece(token)))
        if sequence.text.stopped:
            self._end(sequence, "stop")
        elif len(sequence.produced) >= sequence.limit:
            self._end(sequence, "length")

    def _say(self, sequence: Sequence, text: str) -> None:
        if text:
            self._events.append(Token(sequence.request.id, text, tuple(sequence.logprobs)))
            sequence.logprobs.clear()

    # --- endings

    def _cancel(self, sequence: Sequence) -> None:
        self._end(sequence, "cancelled")

    def _expire(self, sequence: Sequence) -> None:
        """Its time is over; what it has said so far was streamed."""
        self._say(sequence, sequence.text.finish())
        self._let_go(sequence)
        self._events.append(Failed(sequence.request.id, too_late(sequence.request)))

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        self._say(sequence, sequence.text.finish())
        finished: Finished = sequence.finished(reason)
        self._let_go(sequence)
        self._events.append(finished)

    def _fail(self, plan: Plan, error: EdgeloraError) -> None:
        """The batch was not computed: nobody knows what its sequences' KV holds, so it is dropped."""
        for chunk in plan.chunks:
            slot = chunk.sequence.held
            self._let_go(chunk.sequence)
            self._kv.drop(slot)
            self._events.append(Failed(chunk.sequence.request.id, error))
        if isinstance(error, NotFiniteError):
            self._purge()

    def _purge(self) -> None:
        """Overwrite the KV cache, which may hold values that are no numbers. Running sequences compute theirs anew."""
        self._context.forget_everything()
        self._kv.empty()
        for sequence in self._scheduler.running:
            sequence.reused = sequence.ahead = 0

    def _let_go(self, sequence: Sequence) -> None:
        """The sequence has ended. The only place where what it holds is given back."""
        self._scheduler.remove(sequence)
        if sequence.slot:
            self._intake.note_freed()
            self._admission.give_back(sequence)
