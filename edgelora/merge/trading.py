"""The trade of a planned merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.gguf.facts import LORA_B
from edgelora.gguf.reader import read_header
from edgelora.merge.kept import together
from edgelora.merge.trade import Pair, Trade, Weight, estimated
from edgelora.native.quantize import row_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from edgelora.merge.base import Base
    from edgelora.merge.given import Given
    from edgelora.merge.layout import Rewrite
    from edgelora.merge.precision import Plan


def trade_of(
    base: Base, plans: Sequence[Plan], rewrites: Sequence[Rewrite], members: Given, merged_bytes: int
) -> Trade:
    """What baking in costs and brings: ``plans`` are of changed tensors, ``rewrites`` of all that are written anew.

    Raises GGUFError where an adapter cannot be read any more.
    """
    new_sizes = {rewrite.tensor.name: _nbytes(rewrite) for rewrite in rewrites}
    return estimated(
        base.header.file_size,
        members.adapter_bytes,
        merged_bytes,
        weights=_weights(base, {}),
        merged=_weights(base, new_sizes),
        pairs=[pair for adapter in members.applied for pair in _pairs(adapter.path)],
        expected_kept=together(plan.expected for plan in plans).share,
    )


def _pairs(adapter: Path) -> Iterator[Pair]:
    for name, info in read_header(adapter).tensors.items():
        if name.endswith(LORA_B):
            yield Pair(info.shape[1], info.shape[0])


def _nbytes(rewrite: Rewrite) -> int:
    return rewrite.tensor.n_rows * row_bytes(rewrite.type_name, rewrite.tensor.shape[0])


def _weights(base: Base, new_sizes: Mapping[str, int]) -> list[Weight]:
    used = _used_experts(base)
    return [
        Weight(name, new_sizes.get(name, tensor.info.nbytes), used if tensor.n_matrices > 1 else 1.0)
        for name, tensor in base.tensors.items()
    ]


def _used_experts(base: Base) -> float:
    """The share of the experts that one token goes through."""
    arch = base.header.get("general.architecture", "")
    count, used = (base.header.get(f"{arch}.{key}", 0) for key in ("expert_count", "expert_used_count"))
    return used / count if 0 < used <= count else 1.0
