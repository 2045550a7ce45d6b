"""The demo's base with all matrices in one type, rounded by ggml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.merge.base import read_base
from edgelora.merge.layout import Rewrite, plan_layout
from edgelora.merge.stream import write_layout
from support.streaming import rounded

if TYPE_CHECKING:
    from pathlib import Path


def write_quantized(path: Path, f32_base: Path, kind: str) -> Path:
    base = read_base(f32_base)
    matrices = [tensor for tensor in base.tensors.values() if len(tensor.shape) > 1]
    layout = plan_layout(base, [Rewrite(tensor, kind, None, rounded(kind)) for tensor in matrices], {})
    write_layout(path, layout, threads=1)
    return path
