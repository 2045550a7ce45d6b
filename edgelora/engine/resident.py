"""One adapter's place in the pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgelora.engine.factors import PreparedAdapter
from edgelora.engine.pool_rows import Rows


@dataclass(frozen=True, slots=True)
class Resident:
    """One adapter's place: what it is (without its factors), its rows, and how it uses them.

    ``ranks`` says how many of the rows each of its tensors has, ``scales`` each one's scale; ``common_scale`` is for
    tensors that it leaves alone.
    """

    adapter: PreparedAdapter
    rows: Rows
    ranks: Mapping[str, int]
    scales: Mapping[str, float]
    common_scale: float

    @classmethod
    def of(cls, adapter: PreparedAdapter, rows: Rows) -> Resident:
        """``adapter`` at ``rows``."""
        ranks = {name: len(factors.a) for name, factors in adapter.factors.items()}
        scales = {name: factors.scale for name, factors in adapter.factors.items()}
        return cls(replace(adapter, factors={}), rows, ranks, scales, adapter.common_scale)
