"""The adapter that llama.cpp has loaded for the pool, of one row a tensor.

A graph multiplies with the tensors of loaded adapters. Where these are is found out once; from then on they describe
memory of the pool's own (:mod:`edgelora.engine.pool_tensors`), which may be of any size without loading anything again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgelora.engine.mask import Masker
from edgelora.engine.pool_file import factor_shapes, write_pool_file
from edgelora.errors import AdapterError, EngineError
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.gguf.header import TensorInfo
from edgelora.native import layout
from edgelora.native.batch import Batch
from edgelora.native.context import Context, NativeAdapter
from edgelora.native.model import Model


@dataclass(frozen=True, slots=True)
class PoolAdapter:
    """``infos`` are the base tensors that it adapts, by name; ``pointers`` the addresses of those of its own tensors
    that the graph of this architecture multiplies with, by name.
    """

    native: NativeAdapter
    infos: Mapping[str, TensorInfo]
    pointers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PoolAdapterOpener:
    """Opens pool adapters for one context, decoding on its sequence ``scratch``."""

    model: Model
    context: Context
    masker: Masker
    arch: str
    dtype: np.dtype[np.floating]
    scratch: int

    def open(self, infos: Mapping[str, TensorInfo]) -> PoolAdapter:
        """One for these base tensors, which the context does not have set. Raises EngineError."""
        native = self._load(infos)
        try:
            pointers = self._discover(native)
            _check_shapes(pointers, infos)
        except EngineError:
            self.context.set_adapters([])
            native.free()
            raise
        self.context.set_adapters([])
        return PoolAdapter(native, infos, pointers)

    def _load(self, infos: Mapping[str, TensorInfo]) -> NativeAdapter:
        shapes = {name: factor_shapes(name, info, 1) for name, info in infos.items()}
        try:
            with tempfile.TemporaryDirectory(prefix="edgelora-") as folder:
                path = Path(folder) / "pool.gguf"
                write_pool_file(path, self.arch, shapes, self.dtype)
                return NativeAdapter(self.model, path)
        except (AdapterError, OSError) as error:
            raise EngineError(
                f"the adapter pool cannot be opened: {error}", "Free memory, or room for temporary files."
            ) from error

    def _discover(self, native: NativeAdapter) -> dict[str, int]:
        """Decode one token with ``native`` set, to learn where the graph has its tensors."""
        self.context.set_adapters([(native, 1.0)])
        batch = Batch(1)
        batch.add([0], position=0, sequence=self.scratch, logits=True)
        self.masker.begin_discovery()
        status = self.context.decode(batch)
        pointers = self.masker.end_discovery()
        self.context.forget(self.scratch)
        if status != 0:
            raise EngineError(f"llama.cpp could not decode with the adapter pool (status {status})")
        return pointers


def _check_shapes(pointers: Mapping[str, int], infos: Mapping[str, TensorInfo]) -> None:
    for name, info in infos.items():
        for suffix, shape in zip((LORA_A, LORA_B), factor_shapes(name, info, 1), strict=True):
            if tensor := pointers.get(name + suffix):
                actual = tuple(layout.read_i64(tensor + layout.NE + 8 * i) for i in reversed(range(len(shape))))
                if actual != shape:
                    raise EngineError(f"the pool tensor {name + suffix} is {actual}, not {shape}")
