"""What a conversion did, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelora.gguf.facts import layer_of, short_target
from edgelora_convert.ignored import is_ignored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgelora_convert.assemble import Target


@dataclass(frozen=True)
class Change:
    """How much one tensor of the base changes: ``norm`` is ‖s·B·A‖, ``base_norm`` ‖W‖, ``relative`` their ratio.

    The last two are None where the base's values cannot be decoded, and the ratio where they are all 0.
    """

    tensor: str
    norm: float
    base_norm: float | None
    relative: float | None


@dataclass(frozen=True)
class Spread:
    """Where values lie."""

    least: float
    median: float
    most: float


@dataclass(frozen=True)
class TargetReport:
    """One kind of tensor, such as attn_q: the layers it was adapted in, the ranks and effective scales found there.

    ``ignored``: llama.cpp does not look at adapters of this tensor. ``relative_change`` sums up the ratios that are
    known among ``changes``.
    """

    target: str
    layers: tuple[int, ...]
    ranks: tuple[int, ...]
    scales: tuple[float, ...]
    ignored: bool
    relative_change: Spread | None
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class ConversionReport:
    """A finished conversion. ``types`` counts tensors by ggml type; ``sha256`` is the identity of the new adapter.

    ``base_name`` is what the base calls itself, ``trained_on`` what each source says it was trained on, or empty. The
    norms of the base's tensors are estimates unless ``exact_norms``.
    """

    source: str
    base: str
    out: str
    name: str
    base_name: str
    trained_on: tuple[str, ...]
    arch: str
    alpha: float
    n_layers: int
    n_pairs: int
    n_params: int
    types: dict[str, int]
    targets: tuple[TargetReport, ...]
    exact_norms: bool
    file_size: int
    sha256: str
    source_sha256: str
    base_fingerprint: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return asdict(self)


def target_reports(
    arch: str, targets: Iterable[Target], norms: Mapping[str, float], base_norms: Mapping[str, float | None]
) -> tuple[TargetReport, ...]:
    """One report for each kind of tensor; both mappings are keyed by the names of base tensors."""
    grouped: dict[str, list[Target]] = {}
    for target in targets:
        grouped.setdefault(short_target(target.name), []).append(target)
    return tuple(
        _target_report(arch, short, found, tuple(_change(t.name, norms[t.name], base_norms[t.name]) for t in found))
        for short, found in grouped.items()
    )


def _target_report(arch: str, short: str, targets: list[Target], changes: tuple[Change, ...]) -> TargetReport:
    return TargetReport(
        target=short,
        layers=tuple(layer for target in targets if (layer := layer_of(target.name)) >= 0),
        ranks=tuple(sorted({target.rank for target in targets})),
        scales=tuple(sorted({update.scale for target in targets for update in target.updates})),
        ignored=is_ignored(arch, short),
        relative_change=_spread([change.relative for change in changes if change.relative is not None]),
        changes=changes,
    )


def _change(tensor: str, norm: float, base_norm: float | None) -> Change:
    return Change(tensor, norm, base_norm, norm / base_norm if base_norm else None)


def _spread(values: list[float]) -> Spread | None:
    return Spread(min(values), float(np.median(values)), max(values)) if values else None
