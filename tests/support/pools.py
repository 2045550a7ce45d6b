"""A pool whose memory is numpy's, and whatever else an engine's residency needs to run without llama.cpp."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgelora.engine.factors import Factors, PreparedAdapter
from edgelora.engine.natives import Natives
from edgelora.engine.pool import Pool
from edgelora.engine.pool_tensors import Matrices, PoolTensors
from edgelora.gguf.facts import LORA_A
from edgelora.gguf.header import TensorInfo
from edgelora.types import AdapterFile

TENSORS = {name: TensorInfo(name, (n_in, n_out), 0, 0, 0) for name, n_in, n_out in (("q", 6, 4), ("k", 4, 8))}
ROW_BYTES = 4 * sum(sum(info.shape) for info in TENSORS.values())
"""Of a pool for all TENSORS, in F32."""


class NumpyPool(Pool):
    """Counts how often it was opened."""

    def __init__(self, budget: int) -> None:
        context: Any = SimpleNamespace(set_adapters=lambda adapters: None)
        masker: Any = SimpleNamespace(watch=lambda kinds: None)
        model: Any = None
        super().__init__(model, context, masker, TENSORS, "", dtype="f32", budget=budget, scratch=0)
        self.n_opened = 0

    def _load(self, targets: Sequence[str], rows: int) -> Any:
        self.n_opened += 1
        return SimpleNamespace(targets=targets, free=lambda: None)

    def _discover(self, native: Any, targets: Iterable[str], rows: int) -> PoolTensors:
        tensors = PoolTensors({}, {}, rows, self._dtype)
        for i, name in enumerate(targets):
            n_in, n_out = TENSORS[name].shape
            past = np.float32(99.0)  # what a row holds until it is written
            a, b = np.full((rows, n_in), past), np.full((n_out, rows), past)
            tensors.whole[name] = Matrices(a, b, a)
            tensors._pointers[name + LORA_A] = i  # type: ignore[index]
        return tensors


class FakeNatives(Natives):
    """Holds adapters without llama.cpp."""

    def __init__(self) -> None:
        context: Any = SimpleNamespace(set_adapters=lambda adapters: None)
        model: Any = None
        super().__init__(model, context)

    def add(self, adapter: PreparedAdapter) -> Any:
        self._adapters[adapter.file.sha256] = native, _ = SimpleNamespace(free=lambda: None), adapter.n_bytes
        return native


def fake_probe() -> Any:
    """Finds an effect in every adapter."""
    found = SimpleNamespace(effect=0.5)
    return SimpleNamespace(pooled=lambda pool, sha256: found, native=lambda native: found, swap_ms=lambda native: 4.0)


def prepared(name: str, rank: int, targets: Sequence[str] = ("q", "k")) -> PreparedAdapter:
    """An adapter of random factors, the same for the same name; its hash is its name."""
    rng = np.random.default_rng(list(name.encode()))
    factors = {}
    for target in targets:
        n_in, n_out = TENSORS[target].shape
        a, b = rng.standard_normal((rank, n_in)), rng.standard_normal((n_out, rank))
        factors[target] = Factors(a.astype(np.float32), b.astype(np.float32), float(rng.integers(1, 4)))
    file = AdapterFile(name, Path(name), name)
    return PreparedAdapter(file, rank, ROW_BYTES * rank, tuple(targets), factors, (), read_ms=1.0)


def same(left: PreparedAdapter, right: PreparedAdapter) -> bool:
    """Do they compute the same?"""
    return left.factors.keys() == right.factors.keys() and all(
        np.array_equal(left.factors[name].a, right.factors[name].a)
        and np.array_equal(left.factors[name].b, right.factors[name].b)
        and left.factors[name].scale == right.factors[name].scale
        for name in left.factors
    )
