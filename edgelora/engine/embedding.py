"""Embeddings: mean-pooled, normalised hidden states of a text under a selection, in a context of their own.

llama.cpp applies the adapters itself here, so answers beside it are not touched. Texts are computed one after the
other, a piece between two steps of the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgelora.engine.factors import require_unchanged
from edgelora.engine.failures import NotFiniteError, as_error, not_finite
from edgelora.engine.free_memory import free_memory
from edgelora.engine.memory import MemoryPlan
from edgelora.engine.opening import default_threads
from edgelora.errors import ContextOverflowError, EdgeloraError, EngineError, MemoryLimitError
from edgelora.gguf.hashes import file_sha256
from edgelora.native.batch import Batch
from edgelora.native.context import Context, NativeAdapter
from edgelora.native.model import Model
from edgelora.types import AdapterFile, EngineConfig, Selection

BESIDE_ANSWERS = 32
"""Tokens of a piece while answers are made: that much they wait for it."""
KEPT_ADAPTERS = 4

Embedding = tuple[float, ...]


@dataclass(slots=True)
class _Job:
    call: int
    tokens: tuple[int, ...]
    selection: Selection
    done: int = 0
    total: np.ndarray | None = None  # f32 [n_embd], of the hidden states so far


class Embedder:
    """Computes what was submitted. ``file_of`` gives the file of an adapter that the engine knows."""

    def __init__(
        self, model: Model, config: EngineConfig, plan: MemoryPlan, file_of: Callable[[str], AdapterFile]
    ) -> None:
        self._model, self._config, self._plan, self._file_of = model, config, plan, file_of
        self._jobs: deque[_Job] = deque()
        self._natives: dict[str, NativeAdapter] = {}
        self._context: Context | None = None

    @property
    def busy(self) -> bool:
        """Is there anything to compute?"""
        return bool(self._jobs)

    def submit(self, call: int, tokens: tuple[int, ...], selection: Selection) -> None:
        """Compute the embedding of ``tokens`` later. Raises what is wrong with the request."""
        if not tokens or not all(0 <= token < self._model.n_vocab for token in tokens):
            raise EngineError("a text must hold at least one token, all of them of the base's vocabulary")
        if len(tokens) > self._plan.ctx:
            raise ContextOverflowError(
                f"the text has {len(tokens)} tokens, and the context holds {self._plan.ctx}", "Send it in parts."
            )
        self._jobs.append(_Job(call, tokens, selection))

    def abandon(self, call: int) -> None:
        """Compute the embedding of ``call`` no further."""
        self._jobs = deque(job for job in self._jobs if job.call != call)

    def step(self, *, beside_answers: bool) -> tuple[int, Embedding | EdgeloraError] | None:
        """Compute a piece; gives a call and its answer when one is complete."""
        job = self._jobs[0]
        try:
            self._advance(job, BESIDE_ANSWERS if beside_answers else self._config.batch)
        except Exception as error:
            self._jobs.popleft()
            return job.call, as_error(error)
        if job.done < len(job.tokens):
            return None
        self._jobs.popleft()
        try:
            return job.call, _normalised(job)
        except NotFiniteError as error:
            return job.call, error

    def close(self) -> None:
        """Free everything."""
        if self._context:
            self._context.set_adapters([])
            for native in self._natives.values():
                native.free()
            self._natives.clear()
            self._context.close()
            self._context = None

    def _advance(self, job: _Job, most: int) -> None:
        context = self._opened()
        if not job.done:
            context.forget_everything()
            context.set_adapters(self._adapters(context, job.selection))
        piece = job.tokens[job.done : job.done + most]
        batch = Batch(self._config.batch)
        batch.add(piece, position=job.done, sequence=0, logits=True)
        if context.decode(batch) != 0:
            raise EngineError("llama.cpp could not compute this embedding", "Ask again.")
        states = context.hidden_states(len(piece)).sum(axis=0)
        job.total = states if job.total is None else job.total + states
        job.done += len(piece)

    def _opened(self) -> Context:
        if self._context is None:
            cells = -(-self._plan.ctx // 256) * 256
            needed = self._plan.kv * cells // self._plan.cells + self._plan.scratch
            if free_memory() < needed:
                raise MemoryLimitError(
                    f"embeddings need {needed / 2**20:,.0f} MiB, which are not free", "Use a smaller --ctx."
                )
            self._context = Context(
                self._model,
                cells=cells,
                sequences=1,
                batch=self._config.batch,
                threads=self._config.threads or default_threads(self._plan.weights),
                kv_dtype=self._config.kv_dtype,
                flash_attention=self._config.flash_attention,
                outputs=self._config.batch,
                embeddings=True,
            )
        return self._context

    def _adapters(self, context: Context, selection: Selection) -> list[tuple[NativeAdapter, float]]:
        context.set_adapters([])
        for sha256 in [one for one in self._natives if one not in selection.adapters][: -KEPT_ADAPTERS or None]:
            self._natives.pop(sha256).free()
        for sha256 in selection.adapters:
            if sha256 not in self._natives:
                file = self._file_of(sha256)
                require_unchanged(file, file_sha256(file.path))
                self._natives[sha256] = NativeAdapter(self._model, file.path)
        return [(self._natives[member.adapter], member.scale) for member in selection.members]


def _normalised(job: _Job) -> Embedding:
    """The mean, of length 1. Raises NotFiniteError where it is no direction."""
    assert job.total is not None
    length = float(np.linalg.norm(job.total))
    if not np.isfinite(length) or length == 0:
        raise not_finite([job.selection])
    return tuple(map(float, job.total / length))
