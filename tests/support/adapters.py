"""GGUF adapters made for a test: random factors for any tensors of a base."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np

from edgelora.gguf.hashes import file_sha256
from edgelora.gguf.reader import read_header
from edgelora.types import AdapterFile

ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")


def write_adapter(
    path: Path,
    base: Path,
    *,
    rank: int = 8,
    alpha: float | None = None,
    targets: tuple[str, ...] = ATTENTION,
    seed: int = 0,
    strength: float = 1.0,
    dtype: str = "float16",
    ranks: Mapping[str, int] | None = None,
    extra: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
) -> AdapterFile:
    """Write a random adapter; ``ranks`` overrides the rank of single targets, ``strength`` scales B."""
    header = read_header(base)
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, header.get("general.architecture", ""))
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank if alpha is None else alpha))
    for name, info in header.tensors.items():
        target = re.sub(r"^blk\.\d+\.|\.weight$", "", name)
        if target in targets and name.endswith(".weight"):
            n_in, n_out, *stack = info.shape
            r = (ranks or {}).get(target, rank)
            a = rng.standard_normal((*stack, r, n_in)) / np.sqrt(n_in)
            b = rng.standard_normal((*stack, n_out, r)) * strength * 8 / np.sqrt(r * n_in)  # 1: a fifth of the logits
            if target == "token_embd":  # it is looked up: llama.cpp wants A transposed, and B for a row
                a = rng.standard_normal((n_out, r)) / np.sqrt(r)
                b = rng.standard_normal((n_in, r)) * strength / np.sqrt(n_in)
            writer.add_tensor(name + ".lora_a", a.astype(dtype))
            writer.add_tensor(name + ".lora_b", b.astype(dtype))
    extra(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return AdapterFile(path.stem, path, file_sha256(path))
