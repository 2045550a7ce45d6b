"""The rank pool: one llama.cpp adapter whose rank rows belong to many resident adapters.

For every adapted tensor it holds ``A_pool`` [rows, n_in] and ``B_pool`` [n_out, rows]. Making an adapter resident
copies its rows in; evicting gives the rows back. Rows are written only between decodes, by the thread that owns the
context. Which rows count for which token is the mask's business (:mod:`edgelora.engine.mask`).
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgelora.engine.factors import FloatArray, PreparedAdapter
from edgelora.engine.mask import FloatMatrix, Masker, Watched
from edgelora.engine.pool_file import Shape, write_pool_file
from edgelora.engine.rows import PoolFullError, RowAllocator
from edgelora.errors import EngineError
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.gguf.header import TensorInfo
from edgelora.native import layout
from edgelora.native.batch import Batch
from edgelora.native.context import Context, NativeAdapter
from edgelora.native.model import Model
from edgelora.types import KVType, Selection

ROW_STEP = 16
"""Pool sizes are multiples of this: the usual rank, and a multiple of the vector width."""

GROWTH = 1.25
"""A pool that must grow gets this much more, so that loading many adapters does not copy quadratically."""


@dataclass(frozen=True, slots=True)
class Matrices:
    """The pool's two factors of one base tensor, as views of llama.cpp's memory: [rows, n_in] and [n_out, rows]."""

    a: FloatArray
    b: FloatArray


@dataclass(frozen=True, slots=True)
class Resident:
    """One adapter's place: its rows, and its scale for each tensor and for those it leaves alone."""

    rows: NDArray[np.intp]
    scales: Mapping[str, float]
    common_scale: float


class Pool:
    """Opens with the first adapter, grows and shrinks with need, never beyond ``budget`` bytes."""

    def __init__(
        self, model: Model, context: Context, masker: Masker, tensors: Mapping[str, TensorInfo], arch: str,
        *, dtype: KVType, budget: int, scratch: int,
    ) -> None:  # fmt: skip
        self._model, self._context, self._masker = model, context, masker
        self._tensors, self._arch = tensors, arch
        self._dtype: np.dtype[np.floating] = np.dtype({"f16": "float16", "f32": "float32"}[dtype])
        self._budget, self._scratch = budget, scratch
        self._native: NativeAdapter | None = None
        self._rows = RowAllocator(0)
        self._targets: tuple[str, ...] = ()
        self._matrices: dict[str, Matrices] = {}
        self._residents: dict[str, Resident] = {}
        self._pointers: dict[str, int] = {}
        self._row_scales: list[NDArray[np.float32]] = []  # by kind of mask: f32 [rows]
        self._masks: dict[Selection, list[FloatMatrix]] = {}

    @property
    def rows(self) -> int:
        """How many rank rows there are, whoever owns them."""
        return self._rows.size

    @property
    def native(self) -> NativeAdapter | None:
        """What llama.cpp must have set while a masked batch is decoded; None while the pool is empty."""
        return self._native

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._residents

    def ignored(self, adapter: PreparedAdapter) -> tuple[str, ...]:
        """Tensors of ``adapter`` that the graph of this architecture never multiplies with."""
        return tuple(name for name in adapter.factors if name not in self._matrices)

    def add(self, adapter: PreparedAdapter) -> None:
        """Make ``adapter`` resident. Raises PoolFullError where the budget does not allow it."""
        targets = tuple(dict.fromkeys((*self._targets, *adapter.factors)))
        missing = adapter.rank - self._rows.n_free
        if missing > 0 or targets != self._targets:
            self._rebuild(targets, self._grown(adapter.rank, targets))
        rows = np.array(self._rows.take(adapter.rank), np.intp)
        self._write(adapter, rows)
        scales = {name: factors.scale for name, factors in adapter.factors.items()}
        self._residents[adapter.file.sha256] = Resident(rows, scales, adapter.common_scale)
        self._update_scales()

    def remove(self, sha256: str) -> None:
        """Give the rows of an adapter back, and memory too when little of the pool is left in use."""
        self._rows.give_back(self._residents.pop(sha256).rows.tolist())
        used = self._used
        targets = tuple(name for name in self._targets if any(name in r.scales for r in self._residents.values()))
        if not self._residents:
            self.close()
        elif self.rows > 2 * _rounded(used) or targets != self._targets:
            self._rebuild(targets, min(self.rows, _rounded(used)))
        self._update_scales()

    def masks(self, selections: Sequence[Selection], counts: Sequence[int]) -> list[FloatMatrix]:
        """By kind, f32 [sum(counts), rows]: the mask of ``selections[i]``, ``counts[i]`` times. All are resident."""
        single = [self._mask(selection) for selection in selections]
        if len(counts) == 1 and counts[0] == 1:  # one conversation, one token: the usual step has nothing to build
            return single[0]
        return [np.repeat(np.concatenate(kind), counts, axis=0) for kind in zip(*single, strict=True)]

    def close(self) -> None:
        """Free the native adapter, which no context may decode with any more. The pool can be used again."""
        if self._native:
            self._context.set_adapters([])
            self._native.free()
        self._native = None
        self._rows, self._targets = RowAllocator(0), ()
        self._matrices, self._pointers, self._residents = {}, {}, {}
        self._masks, self._row_scales = {}, []
        self._masker.watch({})

    def _mask(self, selection: Selection) -> list[FloatMatrix]:
        """By kind of tensor, f32 [1, rows]: the effective scales of ``selection``."""
        mask = self._masks.get(selection)
        if mask is None:
            user = np.zeros((1, self.rows), np.float32)
            for member in selection.members:
                user[0, self._residents[member.adapter].rows] = member.scale
            mask = self._masks[selection] = [user * scales for scales in self._row_scales]
        return mask

    def _update_scales(self) -> None:
        """Sort the tensors into kinds: those whose rows have the same scales share a mask."""
        self._masks.clear()
        kinds: dict[bytes, int] = {}
        self._row_scales = []
        watched = {}
        for name in self._matrices:
            scales = np.zeros(self.rows, np.float32)
            for resident in self._residents.values():
                scales[resident.rows] = resident.scales.get(name, resident.common_scale)
            kind = kinds.setdefault(scales.tobytes(), len(kinds))
            if kind == len(self._row_scales):
                self._row_scales.append(scales)
            watched[self._pointers[name + LORA_A]] = Watched(kind)
        self._masker.watch(watched)

    def _write(self, adapter: PreparedAdapter, rows: NDArray[np.intp]) -> None:
        """Copy the factors in. Rows of tensors that the adapter leaves alone are zeroed: they may hold the past."""
        for name, matrices in self._matrices.items():
            factors = adapter.factors.get(name)
            rank = factors.a.shape[0] if factors else 0
            if factors:
                matrices.a[rows[:rank]] = factors.a
                matrices.b[:, rows[:rank]] = factors.b
            matrices.a[rows[rank:]] = 0
            matrices.b[:, rows[rank:]] = 0

    @property
    def _used(self) -> int:
        return self.rows - self._rows.n_free

    def _grown(self, more: int, targets: Sequence[str]) -> int:
        """The new number of rows for ``more`` than are used: what is needed and some more, within the budget."""
        bytes_a_row = sum(sum(self._shape(name)) for name in targets) * self._dtype.itemsize
        most = self._budget // max(bytes_a_row, 1) // ROW_STEP * ROW_STEP
        needed = _rounded(self._used + more)
        if needed > most:
            raise PoolFullError(needed - most)
        grown = _rounded(int(self.rows * GROWTH)) if self._used + more > self.rows else self.rows
        return min(most, max(needed, grown))

    def _rebuild(self, targets: tuple[str, ...], rows: int) -> None:
        """Replace the native adapter by one of another size; what is resident keeps its rows, packed to the front."""
        old_native, old_matrices, old_residents = self._native, self._matrices, self._residents
        native = self._load(targets, rows)
        try:
            pointers = self._discover(native)
        except EngineError:
            self._context.set_adapters([(old_native, 1.0)] if old_native else [])
            native.free()
            raise
        self._native, self._targets, self._rows, self._pointers = native, targets, RowAllocator(rows), pointers
        self._matrices = {
            name: self._view(name, rows) for name in targets if name + LORA_A in pointers and name + LORA_B in pointers
        }
        self._residents = {
            sha256: Resident(np.array(self._rows.take(len(old.rows)), np.intp), old.scales, old.common_scale)
            for sha256, old in old_residents.items()
        }
        for name in old_matrices.keys() & self._matrices.keys():
            old_matrix, new = old_matrices[name], self._matrices[name]
            for sha256, resident in self._residents.items():
                new.a[resident.rows] = old_matrix.a[old_residents[sha256].rows]
                new.b[:, resident.rows] = old_matrix.b[:, old_residents[sha256].rows]
        if old_native:
            old_native.free()
        self._update_scales()

    def _load(self, targets: Sequence[str], rows: int) -> NativeAdapter:
        with tempfile.TemporaryDirectory(prefix="edgelora-") as folder:
            path = Path(folder) / "pool.gguf"
            write_pool_file(path, self._arch, {name: self._shape(name) for name in targets}, rows, self._dtype)
            return NativeAdapter(self._model, path)

    def _discover(self, native: NativeAdapter) -> dict[str, int]:
        """Decode one token with the new pool set, to learn where the graph has its tensors."""
        self._context.set_adapters([(native, 1.0)])
        batch = Batch(1)
        batch.add([0], position=0, sequence=self._scratch, logits=True)
        self._masker.begin_discovery()
        status = self._context.decode(batch)
        pointers = self._masker.end_discovery()
        self._context.forget(self._scratch)
        if status != 0:
            raise EngineError(f"llama.cpp could not decode with the adapter pool (status {status})")
        return pointers

    def _view(self, name: str, rows: int) -> Matrices:
        n_out, n_in = self._shape(name)
        return Matrices(
            self._array(self._pointers[name + LORA_A], (rows, n_in)),
            self._array(self._pointers[name + LORA_B], (n_out, rows)),
        )

    def _array(self, tensor: int, shape: Shape) -> FloatArray:
        actual = (layout.read_i64(tensor + layout.NE1), layout.read_i64(tensor + layout.NE))
        if actual != shape:
            raise EngineError(f"the pool tensor {layout.name_of(tensor)} is {actual}, not {shape}")
        size = shape[0] * shape[1] * self._dtype.itemsize
        memory = (ctypes.c_uint8 * size).from_address(layout.read_pointer(tensor + layout.DATA))
        array: FloatArray = np.frombuffer(memory, self._dtype).reshape(shape)  # type: ignore[call-overload]
        return array

    def _shape(self, name: str) -> Shape:
        n_in, n_out = self._tensors[name].shape[:2]
        return n_out, n_in


def _rounded(rows: int) -> int:
    return -(-rows // ROW_STEP) * ROW_STEP
