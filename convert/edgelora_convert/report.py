"""What a conversion did, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TargetReport:
    """One kind of tensor, such as attn_q: the layers it was adapted in, the ranks and effective scales found there."""

    target: str
    layers: tuple[int, ...]
    ranks: tuple[int, ...]
    scales: tuple[float, ...]


@dataclass(frozen=True)
class ConversionReport:
    """A finished conversion. ``types`` counts tensors by ggml type; ``sha256`` is the identity of the new adapter."""

    source: str
    base: str
    out: str
    name: str
    arch: str
    alpha: float
    n_layers: int
    n_pairs: int
    n_params: int
    types: dict[str, int]
    targets: tuple[TargetReport, ...]
    file_size: int
    sha256: str
    source_sha256: str
    base_fingerprint: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return asdict(self)
