"""A merge in a few lines of numpy, for F32 bases: what the real one is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFReader

if TYPE_CHECKING:
    from pathlib import Path


def merged_by_hand(path: Path, f32_base: Path, adapter: Path, scale: float = 1.0) -> Path:
    """Write ``f32_base`` with scale * alpha / rank * B @ A added to every weight that ``adapter`` names."""
    factors = GGUFReader(adapter)
    alpha = float(factors.fields["adapter.lora.alpha"].contents())
    values = {tensor.name: tensor.data.astype(np.float32) for tensor in factors.tensors}
    path.write_bytes(f32_base.read_bytes())
    for tensor in GGUFReader(path, "r+").tensors:
        if tensor.name + ".lora_a" in values:
            a, b = values[tensor.name + ".lora_a"], values[tensor.name + ".lora_b"]
            tensor.data[...] += scale * alpha / len(a) * (b @ a)
            tensor.data.flush()
    return path
