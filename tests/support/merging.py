"""What merges are made with, and a merge in a few lines of numpy, for F32 bases, that the real one is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFReader

from edgelora.merge.options import Options

ROOT = Path(__file__).resolve().parents[2]
LEGAL = ROOT / "models" / "adapters" / "legal.gguf"
UNVERIFIED = Options(verify=False, threads=1)


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
