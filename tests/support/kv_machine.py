"""A base, a context and its KV cache to be driven by hand, and what an empty cache would give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgelora.native.batch import Batch
from edgelora.native.context import Context
from edgelora.native.model import Model
from edgelora.native.sequences import SequenceMemory
from support.exports import GELU

CELLS, SEQUENCES, CHUNK = 256, 4, 64


class Machine:
    """A context and its memory."""

    def __init__(self, base: Path) -> None:
        self.model = Model(base)
        self.context = Context(
            self.model, cells=CELLS, sequences=SEQUENCES, batch=CHUNK, threads=1, kv_dtype="f32", flash_attention="off"
        )
        self.memory = SequenceMemory(self.model, self.context)

    def compute(self, sequence: int, tokens: Sequence[int], position: int = 0) -> np.ndarray:
        """Decode ``tokens`` from ``position`` on; the logits of the last one."""
        batch = Batch(CHUNK)
        for start in range(0, len(tokens), CHUNK):
            batch.clear()
            chunk = tokens[start : start + CHUNK]
            row = batch.add(chunk, position=position + start, sequence=sequence, logits=True)
            assert self.context.decode(batch) == 0
        return self.context.logits(row)

    def cold(self, tokens: Sequence[int]) -> np.ndarray:
        """The logits after ``tokens`` in an empty cache."""
        self.context.forget_everything()
        logits = self.compute(0, tokens)
        self.context.forget_everything()
        return logits

    def close(self) -> None:
        self.context.close()
        self.model.close()


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Up to the rounding of a GELU that llama.cpp looks up in a table of halves."""
    return bool(np.linalg.norm(left - right) <= GELU * np.linalg.norm(right))
