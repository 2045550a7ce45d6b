"""What the engine makes of an adapter file before llama.cpp sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gguf import GGUFValueType
from support.adapters import write_adapter

from edgelora.engine.factors import prepare
from edgelora.errors import AdapterError
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from pathlib import Path

    from gguf import GGUFWriter


def activated(writer: GGUFWriter) -> None:
    writer.add_key_value("adapter.alora.invocation_tokens", [3, 5], GGUFValueType.ARRAY, GGUFValueType.UINT32)


def test_activated_loras_are_refused(f32_base: Path, tmp_path: Path) -> None:
    """It must not change the tokens before its invocation, and applied to all it is not what was trained."""
    base = read_header(f32_base)
    assert prepare(write_adapter(tmp_path / "plain.gguf", f32_base), base, "f16").rank == 8
    with pytest.raises(AdapterError, match="activated LoRA"):
        prepare(write_adapter(tmp_path / "activated.gguf", f32_base, extra=activated), base, "f16")
