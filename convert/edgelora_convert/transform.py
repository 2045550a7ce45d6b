"""Turns a plan into the tensors of a GGUF adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.types import Progress, ReportProgress
from edgelora_convert.assemble import Target, assembled
from edgelora_convert.encode import DType, Factor, RangeError, encode_pair
from edgelora_convert.norms import product_norm
from edgelora_convert.scales import file_alpha, wanted_alpha

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgelora_convert.plan import Plan
    from edgelora_convert.problems import Problems
    from edgelora_convert.update import Update

    Values = NDArray[np.float32]


@dataclass(frozen=True)
class Transformed:
    """An adapter before it is written: ``tensors`` by name, A before B, in the order of the base.

    ``norms`` has ‖s·B·A‖ of every base tensor that changes, s being what llama.cpp multiplies B·A with.
    """

    alpha: float
    tensors: Mapping[str, Factor]
    norms: Mapping[str, float]


class NotFiniteError(ValueError):
    """Values that no adapter can have."""


def transform(
    plan: Plan, dtype: DType, problems: Problems, warnings: Problems, progress: ReportProgress
) -> Transformed:
    """Load, place, scale and encode everything.

    Values that are not finite or that ``dtype`` cannot hold go to ``problems``.
    """
    alpha = file_alpha(plan.targets)
    tensors: dict[str, Factor] = {}
    norms: dict[str, float] = {}
    for done, target in enumerate(plan.targets):
        progress(Progress("converting", done, len(plan.targets), "tensors"))
        factors = _factors(target, alpha, problems, warnings)
        pair = factors and _encoded(target, *factors, dtype, problems)
        if factors and pair:
            tensors[target.name + LORA_A], tensors[target.name + LORA_B] = pair
            norms[target.name] = abs(alpha) / target.rank * product_norm(*factors)
    progress(Progress("converting", len(plan.targets), len(plan.targets), "tensors"))
    return Transformed(alpha, tensors, norms)


def _factors(target: Target, alpha: float, problems: Problems, warnings: Problems) -> tuple[Values, Values] | None:
    """A [..., rank, n_in] and B [..., n_out, rank] of a target, for a file with this alpha."""
    rank = target.rank

    def load(update: Update) -> tuple[Values, Values]:
        a, b = update.a.load(), _scaled(update.b.load(), wanted_alpha(update.scale, rank) / alpha)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            problems.add(update.module, "it holds values that are not finite (NaN or infinity); training went wrong")
            raise NotFiniteError
        if not (a.any() and b.any()):
            warnings.add(update.module, "its B·A is zero, so it changes nothing")
        return a, b

    try:
        return assembled(target, load)
    except NotFiniteError:
        return None


def _encoded(target: Target, a: Values, b: Values, dtype: DType, problems: Problems) -> tuple[Factor, Factor] | None:
    try:
        return encode_pair(a, b, dtype, looked_up=target.is_embedding)
    except RangeError as error:
        problems.add(target.updates[0].module, str(error))
        return None


def _scaled(b: Values, factor: float) -> Values:
    with np.errstate(over="ignore", invalid="ignore"):
        return b if factor == 1 else b * np.float32(factor)
