"""Merges of members in any form into F32 bases, with nothing rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora.merge.base import read_base
from edgelora.merge.layout import Rewrite, plan_layout
from edgelora.merge.members import member_changes
from edgelora.merge.options import MergeMember
from edgelora.native.quantize import quantize
from support.streaming import write

if TYPE_CHECKING:
    from pathlib import Path


def merged(base: Path, out: Path, *members: tuple[Path, float]) -> Path:
    """Everything that changes is stored as F32."""
    opened = read_base(base)
    found = member_changes(opened, [MergeMember(path, scale) for path, scale in members])
    tensors = {**opened.tensors, **found.added}
    rewrites = [
        Rewrite(tensors[name], "F32", found.changes.get(name), lambda first, values, old: quantize("F32", values))
        for name in {**found.changes, **found.added}
    ]
    return write(plan_layout(opened, rewrites, {}), out)


def randomised(folder: Path, *ends: str, seed: int = 0, scale: float = 1.0) -> None:
    """Move the saved tensors with these ends, which training would have moved."""
    from safetensors.numpy import load_file, save_file

    path, rng = folder / "adapter_model.safetensors", np.random.default_rng(seed)
    tensors = load_file(path)
    moved = [name for name in tensors if name.endswith(ends)]
    assert moved
    for name in moved:
        factor = 1 + 0.5 * scale * rng.standard_normal(tensors[name].shape, np.float32)
        tensors[name] = tensors[name] * factor + 0.05 * scale * rng.standard_normal(tensors[name].shape, np.float32)
    save_file(tensors, path, {"format": "pt"})
