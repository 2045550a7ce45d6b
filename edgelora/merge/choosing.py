"""Chooses how tensors will be stored, as the precision that was asked for says."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edgelora.errors import MergeError, QuantizationError
from edgelora.merge.grids import GRID_TYPES
from edgelora.merge.layout import Rewrite
from edgelora.merge.mixes import MIXES, mixed_types
from edgelora.merge.precision import plan_cheapest, plan_forced, quantized
from edgelora.native.blas import one_blas_thread
from edgelora.native.quantize import TYPES
from edgelora.types import Progress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from edgelora.merge.base import Base, BaseTensor
    from edgelora.merge.changes import TensorChange
    from edgelora.merge.layout import Zeros
    from edgelora.merge.options import Options, Precision
    from edgelora.merge.precision import Plan
    from edgelora.merge.readable import Readable
    from edgelora.merge.source_base import SourceModel
    from edgelora.types import ReportProgress

    Moments = Mapping[str, NDArray[np.float32]]

_FORCED: Mapping[Precision, str] = {"f16": "F16", "q8_0": "Q8_0", "q6_k": "Q6_K"}
_WIDER = {"Q6_K": "Q8_0", "Q8_0": "F16"}
"""What is taken where rows are no whole blocks of a forced type."""


def target_types(base: Base, options: Options) -> Mapping[str, str]:
    """The type of every tensor that is changed; empty where each is to be found out (`auto`).

    With a source a mix is for all tensors, changed or not, and everything else keeps the base's own types.
    """
    own = {name: tensor.type_name for name, tensor in base.tensors.items()}
    precision, has_source = options.precision, options.source is not None
    if has_source and precision in MIXES:
        return mixed_types(MIXES[precision], base.header)
    if precision in _FORCED:
        return {name: _fitting(_FORCED[precision], tensor.shape[0]) for name, tensor in base.tensors.items()}
    return own if has_source or precision == "same" else {}


def wants_moments(types: Mapping[str, str], changes: Mapping[str, TensorChange], options: Options) -> bool:
    """Are codes to be chosen with calibration? Where a change must fit into the few codes of a narrow type."""
    if options.source is None and options.precision != "same":
        return False
    narrow = GRID_TYPES if options.source is None else GRID_TYPES - {"Q8_0"}
    return any(types.get(name) in narrow for name in changes)


def choose(
    base: Base,
    changes: Mapping[str, TensorChange],
    types: Mapping[str, str],
    options: Options,
    *,
    source: SourceModel | None = None,
    added: Mapping[str, BaseTensor | Zeros] | None = None,
    moments: Moments | None = None,
    report: ReportProgress = ignore_progress,
) -> list[Plan]:
    """A plan for each changed tensor, in the order of ``changes``. With ``source``, its values are changed.

    ``types`` are those of :func:`target_types`; ``added`` are tensors that the base lacks, which keep their types
    unless each tensor's is found out; ``moments`` of the inputs of some tensors, for choosing codes.
    Raises MergeError where a tensor cannot be decoded, or encoded as it should be.
    """
    added, known = added or {}, moments or {}
    origin: dict[str, Readable] = {**added, **base.tensors, **(source.tensors if source else {})}
    forced = {name: tensor.type_name for name, tensor in added.items()} | dict(types) if types else {}

    def plan(name: str) -> Plan:
        tensor = origin[name]
        try:
            if forced:
                return plan_forced(tensor, changes[name], forced[name], known.get(name))
            return plan_cheapest(tensor, changes[name])
        except QuantizationError as error:
            raise MergeError(f"{name}: {error.message}", error.hint or "Choose another --precision.") from None

    plans: list[Plan] = []
    threads = options.threads or len(os.sched_getaffinity(0))
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        try:
            for chosen in pool.map(plan, changes):
                plans.append(chosen)
                report(Progress("choosing types", len(plans), len(changes), "tensors"))
        finally:
            pool.shutdown(cancel_futures=True)
    return plans


def retyped(
    base: Base, source: SourceModel, changes: Mapping[str, TensorChange], types: Mapping[str, str], moments: Moments
) -> list[Rewrite]:
    """The tensors that no adapter changes, and that get another type than the base's all the same."""
    return [
        quantized(source.tensors[name], types[name], moments.get(name))
        for name, tensor in base.tensors.items()
        if name not in changes and types[name] != tensor.type_name
    ]


def unchanged(added: Mapping[str, BaseTensor | Zeros], changes: Mapping[str, TensorChange]) -> list[Rewrite]:
    """The tensors that are added as they are, such as an output matrix that was the embedding's."""
    return [
        Rewrite(tensor, tensor.type_name, None, lambda first_row, values, old: old)
        for name, tensor in added.items()
        if name not in changes
    ]


def _fitting(type_name: str, n_cols: int) -> str:
    while n_cols % TYPES[type_name].block_size:
        type_name = _WIDER[type_name]
    return type_name
