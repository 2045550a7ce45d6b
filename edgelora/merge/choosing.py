"""Chooses for every changed tensor how it will be stored, as the precision that was asked for says."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edgelora.errors import MergeError, QuantizationError
from edgelora.merge.precision import Plan, plan_cheapest, plan_forced, plan_same
from edgelora.native.blas import one_blas_thread
from edgelora.types import Progress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from edgelora.merge.base import Base
    from edgelora.merge.changes import TensorChange
    from edgelora.merge.options import Options
    from edgelora.types import ReportProgress

_FORCED = {"f16": "F16", "q8_0": "Q8_0", "q6_k": "Q6_K"}


def choose(
    base: Base,
    changes: Mapping[str, TensorChange],
    options: Options,
    *,
    source: Base | None = None,
    moments: Mapping[str, NDArray[np.float32]] | None = None,
    report: ReportProgress = ignore_progress,
) -> list[Plan]:
    """A plan for each changed tensor, in the order of the base. With ``source``, its values are changed.

    ``moments`` are of the inputs of some tensors, for choosing codes; see :func:`precision.plan_same`.
    Raises MergeError where a tensor cannot be decoded, or encoded as it should be.
    """

    def plan(name: str) -> Plan:
        try:
            return _plan(base, name, changes[name], options, source, (moments or {}).get(name))
        except QuantizationError as error:
            raise MergeError(f"{name}: {error.message}", "Choose another --precision, such as q8_0 or f16.") from None

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


def _plan(
    base: Base,
    name: str,
    change: TensorChange,
    options: Options,
    source: Base | None,
    moments: NDArray[np.float32] | None,
) -> Plan:
    tensor = base.tensors[name]
    if options.precision in _FORCED:
        return plan_forced((source or base).tensors[name], change, _FORCED[options.precision])
    if source is not None:
        return plan_forced(source.tensors[name], change, tensor.type_name)
    if options.precision == "same":
        return plan_same(tensor, change, moments)
    return plan_cheapest(tensor, change)
