"""A pool on a base without a vocabulary, which no engine would open: what :mod:`support.engines` needs of a core."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgelora.engine.factors import prepare
from edgelora.engine.mask import Masker, new_masker
from edgelora.engine.pool import Pool
from edgelora.engine.probe import Probe
from edgelora.engine.selftest import self_test
from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.header import Header
from edgelora.gguf.reader import read_header
from edgelora.native.context import Context
from edgelora.native.model import Model
from edgelora.types import AdapterFile

SEQUENCES = 8


@dataclass
class PoolCore:
    """The parts of an engine that a mixed batch needs."""

    header: Header
    _model: Model
    _context: Context
    _masker: Masker
    _pool: Pool

    def self_test(self) -> str:
        """Why this base would run in exclusive mode; empty if it would not. The pool must be empty."""
        probe = Probe(self._context, self._masker, (SEQUENCES, SEQUENCES + 1))
        return self_test(self._model, self.header, self._pool, probe, "f32")

    def add(self, adapters: Iterable[AdapterFile]) -> None:
        """Make ``adapters`` resident."""
        for adapter in adapters:
            self._pool.add(prepare(adapter, self.header, "f32"))


@contextmanager
def opened_pool(base: Path, *, budget: int = 2**28) -> Iterator[PoolCore]:
    """An empty pool in F32 on ``base``, whose KV is F32 too."""
    header, masker = read_header(base), new_masker()
    with Model(base, repack=False) as model:
        context = Context(
            model, cells=1024, sequences=SEQUENCES + 2, batch=256, threads=1, kv_dtype="f32", flash_attention="off",
            callback=masker.callback, callback_state=masker.state,
        )  # fmt: skip
        arch = BaseFacts.of(header).arch
        pool = Pool(model, context, masker, header.tensors, arch, dtype="f32", budget=budget, scratch=SEQUENCES)
        try:
            yield PoolCore(header, model, context, masker, pool)
        finally:
            pool.close()
            context.close()
