"""Logits straight from llama.cpp, with its own handling of adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora.native.batch import Batch
from edgelora.native.context import Context, NativeAdapter
from edgelora.native.model import Model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def native_rows(base: Path, prompts: Sequence[Sequence[int]], adapter: Path | None = None) -> np.ndarray:
    """Logits after each prompt, f32 [prompts, n_vocab], in one batch, with F32 KV and no flash attention."""
    with Model(base) as model:
        context = Context(
            model,
            cells=256 * len(prompts),
            sequences=len(prompts),
            batch=512,
            threads=1,  # small models gain nothing from a second one
            kv_dtype="f32",
            flash_attention="off",
        )
        loaded = NativeAdapter(model, adapter) if adapter else None
        if loaded:
            context.set_adapters([(loaded, 1.0)])
        batch = Batch(512)
        rows = [batch.add(prompt, position=0, sequence=i, logits=True) for i, prompt in enumerate(prompts)]
        assert context.decode(batch) == 0
        found = np.stack([context.logits(row) for row in rows])
        context.close()
        if loaded:
            loaded.free()
        return found


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Norm of the difference over the norm of the expected logits."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
