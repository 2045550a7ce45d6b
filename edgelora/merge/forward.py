"""Reading text with a model: every token's logits, a few tokens at a time, without a copy of the weights.

All that is compared is computed alike: on the processor, KV in F32, no flash attention, weights as they lie in the
file. What makes chatting faster would only add its own rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgelora.engine.opening import default_threads
from edgelora.errors import EngineError
from edgelora.native.batch import Batch
from edgelora.native.context import Context, NativeAdapter
from edgelora.native.model import Model
from edgelora.types import KVType, Progress, ReportProgress

SEQUENCE = 256
"""Tokens of a sequence: each begins without a past."""


@dataclass(frozen=True, slots=True)
class AppliedAdapter:
    """An adapter that is applied at run time: a GGUF that fits the base (:mod:`edgelora.gguf.fit`), and its scale."""

    path: Path
    scale: float = 1.0


@contextmanager
def opened_model(path: Path, report: ReportProgress) -> Iterator[Model]:
    """The weights of ``path``, all of them in the mapped file. Raises EngineError."""

    def loading(share: float) -> None:
        report(Progress(f"opening {path.name}", round(share * 100), 100, "%"))

    with Model(path, repack=False, report=loading) as model:
        yield model


@contextmanager
def loaded(model: Model, members: Sequence[AppliedAdapter]) -> Iterator[list[tuple[NativeAdapter, float]]]:
    """The adapters of ``members``, ready for :class:`Forward`. Raises AdapterError."""
    adapters: list[tuple[NativeAdapter, float]] = []
    try:
        for member in members:
            adapters.append((NativeAdapter(model, member.path), member.scale))
        yield adapters
    finally:
        for adapter, _ in adapters:
            adapter.free()


class Forward:
    """One context on ``model`` that reads one sequence after another, at most ``chunk`` tokens at a time.

    Close it before the adapters and the model.
    """

    def __init__(
        self,
        model: Model,
        chunk: int,
        *,
        threads: int | None = None,
        adapters: Sequence[tuple[NativeAdapter, float]] = (),
        kv_dtype: KVType = "f32",
        callback: object | None = None,
    ) -> None:
        self._context = Context(
            model,
            cells=SEQUENCE,
            sequences=1,
            batch=chunk,
            threads=threads or default_threads(model.n_bytes),
            kv_dtype=kv_dtype,
            flash_attention="off",
            callback=callback,
            outputs=chunk,
        )
        self._context.set_adapters(adapters)
        self._batch = Batch(chunk)

    def read(self, tokens: Sequence[int], position: int) -> None:
        """Compute ``tokens``, which stand at ``position`` of their sequence; 0 begins a new one.

        Raises EngineError where llama.cpp cannot.
        """
        if position == 0:
            self._context.forget_everything()
        self._batch.clear()
        self._batch.add(tokens, position=position, sequence=0, logits=True)
        self._batch.wants_logits[: len(tokens)] = 1
        status = self._context.decode(self._batch)
        if status != 0:
            raise EngineError(f"llama.cpp could not read {len(tokens)} tokens (status {status})")

    def logits(self, index: int) -> NDArray[np.float32]:
        """The logits, f32 [n_vocab], of one of the tokens read last."""
        return self._context.logits(index)

    def close(self) -> None:
        """Free the context. Safe to call twice."""
        self._context.close()

    def __enter__(self) -> Forward:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
