"""Bases and settings that cannot be opened."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from edgelora.engine.core import EngineCore
from edgelora.errors import (
    EngineError,
    GGUFError,
    UsageError,
)
from edgelora.types import (
    EngineConfig,
)


@pytest.mark.parametrize(
    "change", [{"batch": 4}, {"max_sequences": 0}, {"ctx": -1}, {"threads": 0}, {"gpu_layers": -1}]
)
def test_settings_that_cannot_work_are_refused(demo_base: Path, change: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        EngineConfig(demo_base, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"GGUF", b"hello world" * 100])
def test_a_base_that_is_no_base(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "base.gguf"
    path.write_bytes(content)
    with pytest.raises(GGUFError, match=r"base\.gguf"):
        EngineCore(EngineConfig(path))


def test_a_base_without_a_tokenizer_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "mute.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(32)
    writer.add_head_count(1)
    writer.add_tokenizer_model("no_vocab")
    writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(EngineError, match="no tokenizer"):
        EngineCore(EngineConfig(path))


def test_gpu_layers_without_a_gpu_build(demo_base: Path) -> None:
    with pytest.raises(EngineError, match="without a GPU backend"):
        EngineCore(EngineConfig(demo_base, gpu_layers=1))
