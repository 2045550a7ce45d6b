"""The rank pool: one llama.cpp adapter whose rank rows belong to many resident adapters.

For every adapted tensor it holds ``A_pool`` [rows, n_in] and ``B_pool`` [n_out, rows], of experts a stack of these.
Making an adapter resident copies its rows in; evicting gives the rows back. Rows are written only between decodes, by
the thread that owns the context. Which rows count for which token is the mask's business
(:mod:`edgelora.engine.mask`); which the graph sees at all follows from what is in use
(:mod:`edgelora.engine.pool_view`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from edgelora.engine.factors import Factors, PreparedAdapter
from edgelora.engine.mask import FloatMatrix, Masker, Watched
from edgelora.engine.pool_adapter import PoolAdapter, PoolAdapterOpener
from edgelora.engine.pool_file import factor_shapes
from edgelora.engine.pool_masks import PoolMasks
from edgelora.engine.pool_rows import Rows, clear_rows, read_rows, rounded, write_rows
from edgelora.engine.pool_tensors import PoolTensors
from edgelora.engine.pool_view import PoolView
from edgelora.engine.resident import Resident
from edgelora.engine.rows import PoolFullError, RowAllocator
from edgelora.errors import EngineError
from edgelora.gguf.header import TensorInfo
from edgelora.native.context import Context
from edgelora.native.model import Model
from edgelora.types import KVType, Selection

SMALL_STEP = 16
"""Else they are multiples of this: the usual rank, and a multiple of the vector width."""

GROWTH = 1.25
"""A pool that must grow gets this much more, so that loading many adapters does not copy quadratically."""

COPY_SHARE = 8
"""The copy of the rows in use may have one part in so many of the pool's memory beside the budget."""


class Pool:
    """Opens with the first adapter, grows with need, never beyond ``budget`` bytes, and shrinks when it is told to."""

    def __init__(
        self, model: Model, context: Context, masker: Masker, tensors: Mapping[str, TensorInfo], arch: str,
        *, dtype: KVType, budget: int, scratch: int,
    ) -> None:  # fmt: skip
        self._context, self._masker, self._infos = context, masker, tensors
        self._dtype: np.dtype[np.floating] = np.dtype({"f16": "float16", "f32": "float32"}[dtype])
        self._opener = PoolAdapterOpener(model, context, masker, arch, self._dtype, scratch)
        self.budget = budget
        self._adapter: PoolAdapter | None = None
        self._residents: dict[str, Resident] = {}
        self._set_tensors(PoolTensors({}, {}, 0, self._dtype), 0)

    @property
    def rows(self) -> int:
        """How many rank rows there are, whoever owns them."""
        return self._rows.size

    @property
    def nbytes(self) -> int:
        """The memory it takes, in bytes, with that for copies of what is in use."""
        return (self.rows + self._tensors.n_copied) * self._row_bytes(self._targets)

    @property
    def is_open(self) -> bool:
        """Is there anything that a masked batch could be decoded with?"""
        return self._adapter is not None

    @property
    def adapters(self) -> Collection[str]:
        """Who is resident."""
        return self._residents.keys()

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._residents

    def ignored(self, adapter: PreparedAdapter) -> tuple[str, ...]:
        """Tensors of ``adapter`` that the graph of this architecture never multiplies with."""
        return tuple(name for name in adapter.factors if name not in self._tensors.whole)

    def fits(self, adapter: PreparedAdapter) -> bool:
        """Is there room for ``adapter`` without replacing the pool by a larger one?"""
        return adapter.rank <= self._rows.n_free and adapter.factors.keys() <= set(self._targets)

    def missing_rows(self, adapter: PreparedAdapter, *, alone: bool = False) -> int:
        """How many rows too few the largest pool that the budget allows has for ``adapter`` beside the residents, or
        ``alone``.
        """
        if self.fits(adapter):
            return 0
        if alone:
            return max(0, rounded(adapter.rank, SMALL_STEP) - self._most_rows(adapter.factors))
        targets = self._needed_targets(adapter.factors)
        return max(0, rounded(self._used + adapter.rank, SMALL_STEP) - self._most_rows(targets))

    def grow_for(self, adapter: PreparedAdapter) -> None:
        """Become large enough for ``adapter``. Raises PoolFullError where the budget does not allow it."""
        if missing := self.missing_rows(adapter):
            raise PoolFullError(missing)
        targets = self._needed_targets(adapter.factors)
        self._rebuild(targets, self._grown(adapter.rank, targets))

    def add(self, adapter: PreparedAdapter) -> None:
        """Make ``adapter`` resident; the pool grows if it does not fit. Raises PoolFullError, EngineError."""
        if not self.fits(adapter):
            self.grow_for(adapter)
        self._put(adapter)
        self._watch()

    def remove(self, sha256: str) -> None:
        """Give the rows of an adapter back. The pool keeps its size, so that the next one finds room."""
        resident = self._residents.pop(sha256)
        self._rows.give_back(resident.rows.tolist())
        self._view.forget(sha256)
        self._masks.clear(resident.rows)
        self._watch()

    def copy_of(self, sha256: str) -> PreparedAdapter:
        """A resident adapter as it can be added again, without the tensors that the graph never uses."""
        resident, factors = self._residents[sha256], {}
        for name, rank in resident.ranks.items():
            if matrices := self._tensors.whole.get(name):
                a = np.empty((rank, *matrices.a.shape[1:]), self._dtype)
                b = np.empty((*matrices.b.shape[:-1], rank), self._dtype)
                read_rows(matrices.a, matrices.b, resident.rows[:rank], a, b)
                factors[name] = Factors(a, b, resident.scales[name])
        return replace(resident.adapter, factors=factors, read_ms=0.0, prepare_ms=0.0)

    def shrink(self) -> None:
        """Become as small as what is resident allows. Raises EngineError; then nothing has changed."""
        targets = self._needed_targets()
        self._rebuild(targets, min(self._most_rows(targets), rounded(self._used)))

    @property
    def is_wasteful(self) -> bool:
        """Do its residents need less than half of its memory, and would a smaller one hold them?"""
        row_bytes, held = self._row_bytes(self._needed_targets()), self.rows * self._row_bytes(self._targets)
        return 2 * self._used * row_bytes < held and rounded(self._used) * row_bytes < held

    def attach(self, selections: Sequence[Selection], counts: Sequence[int]) -> None:
        """Have llama.cpp apply the pool in the next step, with ``counts[i]`` tokens under ``selections[i]``.

        What the graph sees may change, which costs a rebuild of llama.cpp's scheduler and perhaps a copy.
        """
        assert self._adapter
        needed = {sha256 for selection in selections for sha256 in selection.adapters}
        if self._view.step(needed, sum(counts), seen=self._masks.n_columns, whole=self.rows):
            self._show(self._view.adapters)
        self._context.set_adapters([(self._adapter.native, 1.0)])

    def masks(self, selections: Sequence[Selection], counts: Sequence[int]) -> list[FloatMatrix]:
        """By kind, f32 [sum(counts), rows]: the mask of ``selections[i]``, ``counts[i]`` times.

        All are resident, and were attached last; rows are those that the graph sees.
        """
        return self._masks.of(selections, counts)

    def close(self) -> None:
        """Free everything. The context can decode on, and the pool be used again."""
        if self._adapter:
            self._context.set_adapters([])
            self._adapter.native.free()
        self._adapter, self._residents = None, {}
        self._set_tensors(PoolTensors({}, {}, 0, self._dtype), 0)
        self._masker.watch({})

    def _rows_of(self, sha256: str) -> Rows:
        return self._residents[sha256].rows

    def _n_rows(self, adapters: Iterable[str]) -> int:
        return sum(len(self._rows_of(sha256)) for sha256 in adapters)

    def _can_copy(self, rows: int) -> bool:
        """Is there memory for it?"""
        return rows * COPY_SHARE <= self.rows or rows <= self._most_rows(self._targets) - self.rows

    def _show(self, adapters: Iterable[str] | None) -> None:
        """Have the graph see the rows of ``adapters``, or all."""
        rows = None if adapters is None else self._filled_up([self._rows_of(sha256) for sha256 in adapters])
        try:
            self._tensors.show(rows)
        except MemoryError:  # the copy was to save time only
            self._view.adapters = rows = None
            self._tensors.show(None)
        self._masks.show(rows)
        self._context.set_adapters([])  # so that setting the pool makes a new graph

    def _filled_up(self, rows: Sequence[Rows]) -> Rows:
        """All of ``rows`` in ascending order, and some others, so that their number is quick to compute with."""
        used = np.unique(np.concatenate(rows))
        others = np.setdiff1d(np.arange(self.rows), used)
        return np.sort(np.append(used, others[: rounded(len(used)) - len(used)]))

    def _put(self, adapter: PreparedAdapter) -> None:
        """Copy ``adapter`` into free rows. It has no say until the masker watches again."""
        rows = np.array(self._rows.take(adapter.rank), np.intp)
        resident = self._residents[adapter.file.sha256] = Resident.of(adapter, rows)
        for name, matrices in self._tensors.whole.items():
            factors = adapter.factors.get(name)
            if factors:
                write_rows(matrices.a, matrices.b, rows, factors.a, factors.b)
            else:
                clear_rows(matrices.a, matrices.b, rows)
        self._set_scales(resident)

    def _set_scales(self, resident: Resident) -> None:
        for name in self._tensors.whole:
            self._masks.set_scale(name, resident.rows, resident.scales.get(name, resident.common_scale))

    def _watch(self) -> None:
        """Tell the masker which products to mask, and with what."""
        self._masker.watch(
            {
                self._tensors.address(name): Watched(kind, routed=len(self._infos[name].shape) == 3)
                for name, kind in self._masks.find_kinds().items()
            }
        )

    @property
    def _targets(self) -> Iterable[str]:
        return self._adapter.infos if self._adapter else ()

    @property
    def _used(self) -> int:
        return self.rows - self._rows.n_free

    def _needed_targets(self, more: Iterable[str] = ()) -> tuple[str, ...]:
        """The tensors that residents adapt, and ``more``."""
        return tuple(dict.fromkeys(chain.from_iterable((*(r.ranks for r in self._residents.values()), more))))

    def _row_bytes(self, targets: Iterable[str]) -> int:
        shapes = chain.from_iterable(factor_shapes(name, self._infos[name], 1) for name in targets)
        return sum(math.prod(shape) for shape in shapes) * self._dtype.itemsize

    def _most_rows(self, targets: Iterable[str]) -> int:
        """How many rows the budget allows."""
        return self.budget // max(self._row_bytes(targets), 1) // SMALL_STEP * SMALL_STEP

    def _grown(self, more: int, targets: Sequence[str]) -> int:
        """The new number of rows for ``more`` than are used: what is needed and some more, within the budget."""
        grown = int(self.rows * GROWTH) if self._used + more > self.rows else self.rows
        return min(self._most_rows(targets), rounded(max(self._used + more, grown)))

    def _rebuild(self, targets: Iterable[str], rows: int) -> None:
        """Have ``rows`` rows for ``targets`` from now on, those of residents first.

        Raises EngineError where that is impossible; then nothing has changed.
        """
        if not rows:
            self.close()
            return
        former, kept = self._adapter, self._used_rows()
        adapter = self._adapter_for(targets)
        try:
            tensors = PoolTensors(adapter.pointers, adapter.infos, rows, self._dtype)
        except MemoryError as error:
            if adapter is not former:
                adapter.native.free()
            raise EngineError(
                f"there is no memory for a pool of {rows} rows",
                "Choose a smaller --adapter-memory, or close other programs.",
            ) from error
        tensors.take_over(self._tensors, kept)
        self._set_tensors(tensors, rows)
        self._rows.take(len(kept))
        for sha256, resident in self._residents.items():
            self._residents[sha256] = moved = replace(resident, rows=np.searchsorted(kept, resident.rows))
            self._set_scales(moved)
        self._show(None)
        self._adapter = adapter
        if former and former is not adapter:
            former.native.free()
        self._watch()

    def _adapter_for(self, targets: Iterable[str]) -> PoolAdapter:
        """The one there is, if it will do. Raises EngineError."""
        infos = {name: self._infos[name] for name in targets}
        if self._adapter and self._adapter.infos.keys() == infos.keys():
            return self._adapter
        return self._opener.open(infos)

    def _set_tensors(self, tensors: PoolTensors, rows: int) -> None:
        self._tensors, self._rows = tensors, RowAllocator(rows)
        self._masks = PoolMasks(tensors.whole, rows, self._rows_of)
        self._view = PoolView(self._n_rows, self._can_copy)

    def _used_rows(self) -> Rows:
        """The rows that somebody owns."""
        return np.sort(np.concatenate([np.empty(0, np.intp), *(each.rows for each in self._residents.values())]))
