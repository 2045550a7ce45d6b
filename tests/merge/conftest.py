from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pytest
from support.adapters import write_adapter
from support.quantized import write_quantized

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def adapters(demo_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two random adapters for the demo base, with some tensors in common; the second one's alpha is not its rank."""
    folder = tmp_path_factory.mktemp("adapters")
    first, second = folder / "first.gguf", folder / "second.gguf"
    write_adapter(first, demo_base, rank=8, seed=1, targets=("attn_q", "attn_k", "ffn_down"))
    write_adapter(second, demo_base, rank=4, alpha=10, seed=2, targets=("attn_q", "ffn_up"), dtype="float32")
    return first, second


@pytest.fixture(scope="module")
def quantized(f32_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The demo's base in a type."""
    folder = tmp_path_factory.mktemp("quantized")
    return lru_cache(lambda kind: write_quantized(folder / f"{kind}.gguf", f32_base, kind))
