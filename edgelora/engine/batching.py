"""One batch: its tokens, what llama.cpp has set while it is decoded (adapters or masks), and whether all went well."""

from __future__ import annotations

import time
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from edgelora.engine.failures import not_finite
from edgelora.engine.mask import Masker
from edgelora.engine.pool import Pool
from edgelora.engine.residency import Residency
from edgelora.engine.scheduler import Chunk, Plan
from edgelora.errors import EngineError
from edgelora.native.batch import Batch
from edgelora.native.context import Context

DETACH_AFTER = 32
"""Steps without any adapter after which the pool is taken out of the graph: attaching it again costs milliseconds."""


@dataclass(slots=True)
class StepTimes:
    """Where the last step's time went, in seconds. ``mask`` is all that a swap costs; ``admit`` includes KV work."""

    admit: float = 0.0
    mask: float = 0.0
    decode: float = 0.0
    choose: float = 0.0
    n_tokens: int = 0


class Batching:
    """Computes plans. ``mask_s`` and ``decode_s`` are the last batch's seconds for masks and for the rest."""

    def __init__(self, context: Context, masker: Masker, pool: Pool, residency: Residency, batch: int) -> None:
        self._context, self._masker, self._pool, self._residency = context, masker, pool, residency
        self._batch = Batch(batch)
        self._base_only_steps = 0
        self._masked = False
        self.mask_s = self.decode_s = 0.0

    def compute(self, plan: Plan) -> list[int]:
        """Decode the chunks of ``plan``. Returns the row of each chunk's last token, for its logits.

        Raises EngineError, or what came from outside; then nobody knows what the KV of its sequences holds.
        """
        rows = self._fill(plan)
        began = time.perf_counter()
        self._set_adapters(plan)
        masked = time.perf_counter()
        self._decode(plan, rows)
        self.mask_s, self.decode_s = masked - began, time.perf_counter() - masked
        return rows

    def _fill(self, plan: Plan) -> list[int]:
        self._batch.clear()
        return [
            self._batch.add(
                chunk.tokens,
                position=len(chunk.sequence.held.tokens),
                sequence=chunk.sequence.held.sequence,
                logits=chunk.wants_logits,
            )
            for chunk in plan.chunks
        ]

    def _set_adapters(self, plan: Plan) -> None:
        """What llama.cpp has set during this batch: the pool with its masks, one selection, or nothing."""
        self._masked = False
        if plan.group is not None:
            self._context.set_adapters(self._residency.natives(plan.group))
            return
        adapted = any(not chunk.sequence.selection.is_base for chunk in plan.chunks)
        self._base_only_steps = 0 if adapted else self._base_only_steps + 1
        if not self._pool.is_open or self._base_only_steps >= DETACH_AFTER:
            self._context.set_adapters([])
            return
        self._masked = True
        self._write_masks(plan.chunks)

    def _write_masks(self, chunks: Seq[Chunk]) -> None:
        selections = [chunk.sequence.selection for chunk in chunks]
        lengths = [len(chunk.tokens) for chunk in chunks]
        self._pool.attach(selections, lengths)
        by_token = by_output = self._pool.masks(selections, lengths)
        if any(len(chunk.tokens) > 1 or not chunk.wants_logits for chunk in chunks):
            by_output = self._pool.masks(selections, [int(chunk.wants_logits) for chunk in chunks])
        self._masker.set_masks(by_token, by_output)

    def _decode(self, plan: Plan, rows: Seq[int]) -> None:
        status = self._context.decode(self._batch)
        self._masker.raise_error()
        if status != 0:
            raise EngineError(f"llama.cpp could not compute this answer (status {status})", "Ask again.")
        if self._masked:
            self._masker.require_applied()
        wanted = [row for chunk, row in zip(plan.chunks, rows, strict=True) if chunk.wants_logits]
        if not all(self._context.has_finite_logits(row) for row in wanted):
            raise not_finite([chunk.sequence.selection for chunk in plan.chunks])
