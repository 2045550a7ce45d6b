"""The type in which every changed tensor is stored, and how its rows are rounded.

A change that is small against the steps of the base's grid is lost when it is rounded to that grid again. What counts
is the error of the stored weights relative to the change itself, in the output of the layer (:meth:`Sample.loss`):
KL divergence is about proportional to both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgelora.errors import QuantizationError
from edgelora.merge.encoders import Calibrated, Encode, Order, Plain, Recorded
from edgelora.merge.grids import GRID_TYPES
from edgelora.merge.kept import Kept
from edgelora.merge.layout import Rewrite
from edgelora.merge.moments import Moments, by_input
from edgelora.merge.sample import Sample, sample_of
from edgelora.native.quantize import TYPES, dequantize, needs_importance, row_bytes

if TYPE_CHECKING:
    from edgelora.merge.changes import TensorChange
    from edgelora.merge.readable import Readable

BUDGET = 0.02
"""The largest loss of a tensor, where nothing else is asked for.

A merge is meant to end with at most 5 % of the KL divergence that the adapter makes (verification.BUDGET). On the demo,
with all tensors in one type, KL was 1.0 to 1.8 times the median loss, as the errors of all layers add up like the
changes do. Where a tensor's new type comes with another rounding of activations (K-quants multiply with Q8_K, others
with Q8_0 or F16), about 0.001 nats more, whatever the change. With 2 % it ended with less than half of what is allowed
for every adapter on every base. Mean squares of activations changed hardly any choice, so nothing is calibrated first.
"""

LADDER = ("Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16", "F32")
"""Types that a tensor can be raised to."""

CLEARLY = 0.97
"""Calibrated rounding is taken where its loss on the sample is at most this share of plain rounding's."""

PLAIN = "plain"
WEIGHTED = "plain, weighted by activations"
OLD_SCALES = "calibrated, on the base's scales"
NEW_SCALES = "calibrated, on new scales"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one tensor will be stored. ``method`` says how codes are chosen; ``loss`` is estimated from a sample.

    ``kept`` is what is kept of the change: exact, once the tensor was written. ``expected`` is its estimate.
    """

    tensor: Readable
    change: TensorChange
    type_name: str
    method: str
    loss: float
    expected: Kept
    encode: Encode
    kept: Kept

    @property
    def nbytes(self) -> int:
        """Bytes of the stored tensor."""
        return self.tensor.n_rows * row_bytes(self.type_name, self.tensor.shape[0])

    def rewrite(self) -> Rewrite:
        """What the writer is to do."""
        record = Recorded(self.encode, self.tensor.type_name, self.type_name, self.kept)
        return Rewrite(self.tensor, self.type_name, self.change, record)


def plan_cheapest(tensor: Readable, change: TensorChange, moments: Moments = None, budget: float = BUDGET) -> Plan:
    """The cheapest type, at least as wide as the base's own, that loses at most ``budget`` of the change.

    Wider types are tried first, since they are quicker to try, until one loses too much; the widest is F32, which
    loses nothing. Raises QuantizationError where the base's own type has no conversions.
    """
    sample = sample_of(tensor, change)
    importance = by_input(moments)
    *narrower, widest = ladder_from(tensor.type_name, tensor.shape[0], weighted=importance is not None)
    best = _trial(sample, widest, PLAIN, Plain(widest), moments)
    for type_name in reversed(narrower):
        try:
            trial = _trial(sample, type_name, PLAIN, Plain(type_name, importance), moments)
        except QuantizationError:  # values beyond its range
            break
        if trial.loss > budget:
            break
        best = trial
    return _plan(tensor, change, sample, best)


def plan_forced(tensor: Readable, change: TensorChange, type_name: str, moments: Moments = None) -> Plan:
    """A given type for matrices, which may be the base's own; norms and biases keep theirs, as ggml needs them in F32.

    With full ``moments [n_cols, n_cols]``, codes are chosen with them where that is clearly better than plain rounding.
    Raises QuantizationError where the type cannot hold the tensor's rows, or needs moments and there are none.
    """
    chosen = type_name if len(tensor.shape) > 1 else tensor.type_name
    sample = sample_of(tensor, change)
    ways = _ways(tensor, chosen, moments, len(sample.new))
    plain, *others = (_trial(sample, chosen, method, ways[method], moments) for method in ways)
    clearly_better = [trial for trial in others if trial.loss < CLEARLY * plain.loss]
    best = min(clearly_better, key=lambda trial: trial.loss, default=plain)
    encode = _ways(tensor, chosen, moments, tensor.n_rows)[best.method]
    return _plan(tensor, change, sample, replace(best, encode=encode))


def quantized(tensor: Readable, type_name: str, moments: Moments = None) -> Rewrite:
    """A tensor of an unquantized source that no adapter changes, in another type.

    Raises QuantizationError for a type that needs moments where there are none.
    """
    *_, best = _ways(tensor, type_name, moments, tensor.n_rows).values()
    return Rewrite(tensor, type_name, None, lambda first_row, values, old: best(values, old))


def ladder_from(type_name: str, n_cols: int, *, weighted: bool = False) -> list[str]:
    """The types whose rows of ``n_cols`` take at least as many bytes as those of ``type_name``, narrowest first.

    ``type_name`` itself comes first, unless it cannot be chosen: it needs an importance and nothing is ``weighted``.
    """
    own = row_bytes(type_name, n_cols)
    usable = [] if needs_importance(type_name) and not weighted else [type_name]
    usable += [name for name in LADDER if name != type_name and n_cols % TYPES[name].block_size == 0]
    return sorted((name for name in usable if row_bytes(name, n_cols) >= own), key=lambda name: row_bytes(name, n_cols))


@dataclass(frozen=True, slots=True)
class _Trial:
    """A way to store rows, and how it went with the sample."""

    type_name: str
    method: str
    encode: Encode
    loss: float
    kept: Kept


def _trial(sample: Sample, type_name: str, method: str, encode: Encode, moments: Moments) -> _Trial:
    kept = Kept()
    if not len(sample.new):
        return _Trial(type_name, method, encode, 0.0, kept)
    stored = dequantize(type_name, encode(sample.new, sample.raw))
    kept.add(sample.old, sample.new, stored)
    return _Trial(type_name, method, encode, sample.loss(stored, moments), kept)


def _ways(tensor: Readable, type_name: str, moments: Moments, n_rows: int) -> dict[str, Encode]:
    """Ways to store ``n_rows`` rows in a type, by method: the plain one first, then by what they are able to."""
    importance = by_input(moments)
    ways: dict[str, Encode] = {PLAIN: Plain(type_name, importance if needs_importance(type_name) else None)}
    if moments is not None:
        ways[WEIGHTED] = Plain(type_name, importance)
        if moments.ndim == 2 and type_name in GRID_TYPES:
            if type_name == tensor.type_name:
                ways[OLD_SCALES] = Calibrated(type_name, Order(moments, n_rows), fresh=False)
            ways[NEW_SCALES] = Calibrated(type_name, Order(moments, n_rows), fresh=True)
    return ways


def _plan(tensor: Readable, change: TensorChange, sample: Sample, best: _Trial) -> Plan:
    expected = best.kept.scaled(tensor.n_rows / max(len(sample.new), 1))
    return Plan(tensor, change, best.type_name, best.method, best.loss, expected, best.encode, Kept())
