"""The proof of activation: one small batch that shows what an adapter does to the logits."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgelora.engine.failures import NotFiniteError
from edgelora.engine.mask import Masker
from edgelora.engine.pool import Pool
from edgelora.errors import EngineError
from edgelora.native.batch import Batch
from edgelora.native.context import Context, NativeAdapter
from edgelora.types import BASE, Member, Selection

N_TOKENS = 3
"""Tokens in a probe. One would not do: with a single token attention has no choice, and an adapter of only
queries and keys would seem to do nothing."""


@dataclass(frozen=True, slots=True)
class ProbeLogits:
    """Logits, f32 [n_vocab], of the same tokens without and with an adapter, from one batch."""

    base: NDArray[np.float32]
    adapted: NDArray[np.float32]

    @property
    def effect(self) -> float:
        """How much the adapter changes the logits, relative to their norm."""
        return relative_difference(self.adapted, self.base)


class Probe:
    """Decodes on two scratch sequences that nothing else uses."""

    def __init__(self, context: Context, masker: Masker, scratch: tuple[int, int]) -> None:
        self._context, self._masker, self._scratch = context, masker, scratch
        self._batch = Batch(2 * N_TOKENS)
        step = max(1, context.n_vocab // (N_TOKENS + 1))
        tokens = [step * (i + 1) for i in range(N_TOKENS)]
        self._last = [self._batch.add(tokens, position=0, sequence=sequence, logits=True) for sequence in self._scratch]

    def pooled(self, pool: Pool, sha256: str) -> ProbeLogits:
        """One batch through the pool: one sequence on the base, one on the resident adapter ``sha256``."""
        selections = [BASE, Selection.of([Member(sha256)])]
        lengths = [N_TOKENS] * 2
        pool.attach(selections, lengths)
        self._masker.set_masks(pool.masks(selections, lengths), pool.masks(selections, [1, 1]))
        return ProbeLogits(*self._decode(masked=True))

    def native(self, adapter: NativeAdapter) -> ProbeLogits:
        """llama.cpp's own way: the same batch twice, without any adapter and with ``adapter``."""
        self._context.set_adapters([])
        base, _ = self._decode()
        try:
            self._context.set_adapters([(adapter, 1.0)])
            _, adapted = self._decode()
        finally:
            self._context.set_adapters([])
        return ProbeLogits(base, adapted)

    def swap_ms(self, adapter: NativeAdapter) -> float:
        """What changing to ``adapter`` costs llama.cpp: how much longer a batch takes that is the first with it."""
        self._context.set_adapters([])
        began = time.perf_counter()
        try:
            self._context.set_adapters([(adapter, 1.0)])
            self._decode()
            changed = time.perf_counter()
            self._decode()
        finally:
            self._context.set_adapters([])
        return max(0.0, 2 * changed - began - time.perf_counter()) * 1e3

    def _decode(self, *, masked: bool = False) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        try:
            status = self._context.decode(self._batch)
            self._masker.raise_error()
            if masked:
                self._masker.require_applied()
            if status != 0:
                raise EngineError(f"llama.cpp could not compute the probe (status {status})")
            first, second = (self._context.logits(index) for index in self._last)
            if not (np.isfinite(first).all() and np.isfinite(second).all()):
                raise NotFiniteError("the adapter makes this base compute values that are no numbers")
        finally:
            for sequence in self._scratch:
                self._context.forget(sequence)
        return first, second


def relative_difference(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """``|left - right| / |right|`` in the Euclidean norm."""
    return float(np.linalg.norm(left - right) / max(float(np.linalg.norm(right)), 1e-30))
