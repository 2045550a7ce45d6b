"""Engines for tests, and what to ask of them directly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgelora.engine.core import EngineCore
from edgelora.gguf.reader import read_header
from edgelora.native.batch import Batch
from edgelora.native.context import NativeAdapter
from edgelora.types import (
    AdapterFile,
    EngineConfig,
    Event,
    Failed,
    Finished,
    Member,
    Request,
    SamplingParams,
    Selection,
    Token,
)
from support.adapters import ATTENTION

Logits = NDArray[np.float32]

PROMPT = list(range(300, 330))


def exact_config(base: Path, **changes: object) -> EngineConfig:
    """Everything in F32 and flash attention off: equal computations give equal numbers whatever runs beside them."""
    config = EngineConfig(base, ctx=256, threads=1, kv_dtype="f32", pool_dtype="f32", flash_attention="off")
    return replace(config, **changes)


@contextmanager
def opened(config: EngineConfig, adapters: Iterable[AdapterFile] = ()) -> Iterator[EngineCore]:
    """An engine with ``adapters`` resident."""
    core = EngineCore(config)
    try:
        for adapter in adapters:
            core.load(adapter)
        yield core
    finally:
        core.close()


def pool_bytes(base: Path, rows: int, targets: Iterable[str] = ATTENTION) -> int:
    """The memory of an F32 pool of ``rows`` for adapters of these targets; rows come in sixteens."""
    shapes = [info.shape for name, info in read_header(base).tensors.items() if name.split(".")[-2] in targets]
    return 4 * rows * sum(map(sum, shapes))


def selection(*members: tuple[AdapterFile, float]) -> Selection:
    """A selection of adapter files with scales."""
    return Selection.of(Member(file.sha256, scale) for file, scale in members)


def greedy(id_: str, tokens: Sequence[int], under: Selection, max_tokens: int = 16) -> Request:
    """A request without chance."""
    return Request(id_, tuple(tokens), under, SamplingParams(max_tokens=max_tokens, temperature=0))


def drain(core: EngineCore) -> list[Event]:
    """Step until nothing is left to do."""
    events: list[Event] = []
    while core.busy:
        events.extend(core.step())
    return events


def texts(events: Iterable[Event]) -> dict[str, str]:
    """The text of each request that finished. Raises the error of one that failed."""
    found: dict[str, str] = {}
    for event in events:
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token):
            found[event.request] = found.get(event.request, "") + event.text
        elif isinstance(event, Finished):
            found.setdefault(event.request, "")
    return found


def run(core: EngineCore, *requests: Request) -> dict[str, str]:
    """The texts of ``requests``, submitted together."""
    for request in requests:
        core.submit(request)
    return texts(drain(core))


def the_end(core: EngineCore, request: Request) -> Finished | Failed:
    """How ``request`` ends."""
    core.submit(request)
    return next(event for event in drain(core) if isinstance(event, Finished | Failed))


def filled_batch(prompts: Sequence[Sequence[int]]) -> tuple[Batch, list[int]]:
    """One batch with a sequence for each prompt, and the index of each one's last token."""
    batch = Batch(sum(map(len, prompts)))
    rows = [batch.add(prompt, position=0, sequence=i, logits=True) for i, prompt in enumerate(prompts)]
    return batch, rows


def mixed_logits(core: EngineCore, prompts: Sequence[Sequence[int]], selections: Sequence[Selection]) -> list[Logits]:
    """Last-token logits of one batch through the pool, sequence i under ``selections[i]``."""
    batch, rows = filled_batch(prompts)
    lengths = [len(prompt) for prompt in prompts]
    core._pool.attach(selections, lengths)
    core._masker.set_masks(core._pool.masks(selections, lengths), core._pool.masks(selections, [1] * len(prompts)))
    return _decoded(core, batch, rows)


def native_logits(
    core: EngineCore, prompts: Sequence[Sequence[int]], members: Sequence[tuple[AdapterFile, float]]
) -> list[Logits]:
    """Last-token logits of the same batch with llama.cpp's own adapters applied to every sequence."""
    batch, rows = filled_batch(prompts)
    natives = [(NativeAdapter(core._model, file.path), scale) for file, scale in members]
    core._context.set_adapters(natives)
    logits = _decoded(core, batch, rows)
    core._context.set_adapters([])
    for native, _ in natives:
        native.free()
    return logits


def _decoded(core: EngineCore, batch: Batch, rows: Sequence[int]) -> list[Logits]:
    assert core._context.decode(batch) == 0
    core._masker.raise_error()
    logits = [core._context.logits(row) for row in rows]
    for sequence in range(len(rows)):
        core._context.forget(sequence)
    return logits
