"""A pool whose memory is numpy's, and whatever else an engine's residency needs to run without llama.cpp."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgelora.engine.factors import Factors, PreparedAdapter
from edgelora.engine.natives import Natives
from edgelora.engine.pool import Pool
from edgelora.engine.pool_adapter import PoolAdapter
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.gguf.header import TensorInfo
from edgelora.types import AdapterFile

TENSORS = {name: TensorInfo(name, (n_in, n_out), 0, 0, 0) for name, n_in, n_out in (("q", 6, 4), ("k", 4, 8))}
ROW_BYTES = 4 * sum(sum(info.shape) for info in TENSORS.values())
"""Of a pool for all TENSORS, in F32."""


class FakeOpener:
    """Opens adapters that have memory where llama.cpp has its tensors. Counts how often it did."""

    def __init__(self) -> None:
        self.n_opened = 0

    def open(self, infos: Mapping[str, TensorInfo]) -> PoolAdapter:
        self.n_opened += 1
        self._tensors = [np.zeros(512, np.uint8) for _ in range(2 * len(infos))]
        names = [name + suffix for name in infos for suffix in (LORA_A, LORA_B)]
        pointers = {name: tensor.ctypes.data for name, tensor in zip(names, self._tensors, strict=True)}
        native: Any = SimpleNamespace(free=lambda: None)
        return PoolAdapter(native, infos, pointers)


class NumpyPool(Pool):
    """Needs no llama.cpp. Counts how often its memory was replaced."""

    def __init__(self, budget: int) -> None:
        context: Any = SimpleNamespace(set_adapters=lambda adapters: None)
        masker: Any = SimpleNamespace(watch=lambda kinds: None)
        model: Any = None
        super().__init__(model, context, masker, TENSORS, "", dtype="f32", budget=budget, scratch=0)
        self.opener = self._opener = FakeOpener()  # type: ignore[assignment]
        self.n_rebuilt = 0

    def _rebuild(self, targets: Iterable[str], rows: int) -> None:
        self.n_rebuilt += 1
        super()._rebuild(targets, rows)


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
