"""What many tests of the engine begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.adapters import write_adapter

from edgelora.types import AdapterFile


@pytest.fixture
def two(tmp_path: Path, f32_base: Path) -> list[AdapterFile]:
    """Two adapters of the base in F32."""
    return [write_adapter(tmp_path / f"a{i}.gguf", f32_base, seed=i) for i in range(2)]
