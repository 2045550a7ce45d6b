"""llama.cpp's own way, for comparison: a plain context without a callback, adapters set by its own call."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edgelora.bench.samples import StepSample
from edgelora.errors import EngineError
from edgelora.native.batch import Batch
from edgelora.native.context import Context, NativeAdapter
from edgelora.native.model import Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from edgelora.types import EngineConfig, Selection

CELLS = 1024
_SEQUENCE = 0


class NativeRunner:
    """The same base opened a second time. ``open_ms`` is what that took, with the adapters in ``files``."""

    def __init__(self, config: EngineConfig, files: Mapping[str, Path], sequences: int = 1) -> None:
        """``files`` are checked adapter files by content hash; ``config`` names a number of threads."""
        began = time.perf_counter()
        self._model = Model(config.base, gpu_layers=config.gpu_layers)
        self._context = Context(
            self._model,
            cells=CELLS * sequences,
            sequences=sequences,
            batch=config.batch,
            threads=config.threads or 1,
            kv_dtype=config.kv_dtype,
            flash_attention=config.flash_attention,
        )
        self._adapters = {sha256: NativeAdapter(self._model, path) for sha256, path in files.items()}
        self.open_ms = (time.perf_counter() - began) * 1e3
        self._batch = Batch(config.batch)
        self._held: tuple[int, ...] = ()

    def step(self, tokens: Sequence[int], selection: Selection) -> StepSample:
        """Compute one more token after ``tokens``. The KV is not computed again for another selection.

        Its values are then those of the former selection; only the time is looked at here.
        """
        self._prefill(tokens[:-1])
        began = time.perf_counter()
        self._context.set_adapters([(self._adapters[member.adapter], member.scale) for member in selection.members])
        chosen = time.perf_counter()
        self._decode(tokens[-1:], len(tokens) - 1)
        decoded = time.perf_counter()
        self._context.forget(_SEQUENCE, len(tokens) - 1)
        return StepSample((chosen - began) * 1e3, (decoded - chosen) * 1e3)

    def steps(self, prompts: Sequence[Sequence[int]], selection: Selection, warm_up: int, count: int) -> list[float]:
        """Milliseconds of ``count`` steps, each computing one more token after every one of ``prompts``.

        ``warm_up`` steps before them are not counted. What the tokens are does not matter for the time.
        """
        self._held = ()
        self._context.set_adapters([(self._adapters[member.adapter], member.scale) for member in selection.members])
        for sequence, prompt in enumerate(prompts):
            self._context.forget(sequence)
            self._decode(prompt, 0, sequence)
        return [self._step(prompts, done) for done in range(warm_up + count)][warm_up:]

    def _step(self, prompts: Sequence[Sequence[int]], done: int) -> float:
        self._batch.clear()
        for sequence, prompt in enumerate(prompts):
            self._batch.add([prompt[done % len(prompt)]], position=len(prompt) + done, sequence=sequence, logits=True)
        began = time.perf_counter()
        self._compute()
        return (time.perf_counter() - began) * 1e3

    def close(self) -> None:
        """Free everything. Safe to call twice."""
        self._context.close()
        for adapter in self._adapters.values():
            adapter.free()
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _prefill(self, tokens: Sequence[int]) -> None:
        if self._held != tuple(tokens):
            self._context.forget(_SEQUENCE)
            self._decode(tokens, 0)
            self._held = tuple(tokens)

    def _decode(self, tokens: Sequence[int], position: int, sequence: int = _SEQUENCE) -> None:
        self._batch.clear()
        self._batch.add(tokens, position=position, sequence=sequence, logits=True)
        self._compute()

    def _compute(self) -> None:
        status = self._context.decode(self._batch)
        if status != 0:
            raise EngineError(f"llama.cpp could not decode {len(self._batch)} tokens (status {status})")
