"""Turns planned pairs into the tensors of a GGUF adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.types import Progress, ReportProgress
from edgelora_convert.encode import DType, Factor, encode_pair
from edgelora_convert.layouts import apply_layout
from edgelora_convert.scales import fold_scales

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgelora_convert.plan import Plan
    from edgelora_convert.problems import Problems
    from edgelora_convert.resolve import Target


LEAST_SCALE = 2.0**-100
"""Smaller scales count as 0: what is left of B·A vanishes in float32."""


def effective_scales(plan: Plan) -> dict[str, float]:
    """What PEFT multiplies B·A with, by base tensor."""
    return {target.tensor.name: plan.config.scale_of(target.pair.module, target.pair.rank) for target in plan.targets}


def transform(
    plan: Plan, dtype: DType, problems: Problems, warnings: Problems, progress: ReportProgress
) -> tuple[float, dict[str, Factor]]:
    """The file's alpha, and its tensors by name, A before B, in the order of the base.

    Pairs whose scale is 0 are left out. Values that are not finite or that ``dtype`` cannot hold go to ``problems``.
    """
    scales = {name: scale for name, scale in effective_scales(plan).items() if abs(scale) > LEAST_SCALE}
    alpha, factors = fold_scales(scales, {target.tensor.name: target.pair.rank for target in plan.targets})
    tensors: dict[str, Factor] = {}
    for done, target in enumerate(plan.targets):
        progress(Progress("converting", done, len(plan.targets), "tensors"))
        name = target.tensor.name
        if name not in scales:
            warnings.add(target.pair.module, "its scale is 0, so it is left out")
            continue
        tensors.update(_converted(target, factors[name], dtype, problems, warnings))
    if plan.targets and not scales:
        problems.refuse("no effect", "every scale is 0, so the adapter would do nothing")
    progress(Progress("converting", len(plan.targets), len(plan.targets), "tensors"))
    return alpha, tensors


def _converted(
    target: Target, factor: float, dtype: DType, problems: Problems, warnings: Problems
) -> Mapping[str, Factor]:
    module, name = target.pair.module, target.tensor.name
    a, b = target.pair.a.load(), _scaled(target.pair.b.load(), factor)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        problems.add(module, "it holds values that are not finite (NaN or infinity); training went wrong")
        return {}
    if not (a.any() and b.any()):
        warnings.add(module, "its B·A is zero, so it changes nothing")
    try:
        a, b = apply_layout(target.layout, target.dims, a, b)
        stored_a, stored_b = encode_pair(*_oriented(target, a, b), dtype)
    except ValueError as error:
        problems.add(module, str(error))
        return {}
    return {name + LORA_A: stored_a, name + LORA_B: stored_b}


def _scaled(b: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return b if factor == 1 else b * np.float32(factor)


def _oriented(
    target: Target, a: NDArray[np.float32], b: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An embedding's A is looked up by token in llama.cpp, so its rows are tokens: [n_vocab, rank]."""
    return (np.ascontiguousarray(a.T), b) if target.pair.is_embedding else (a, b)
