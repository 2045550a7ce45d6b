from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest
from gguf import GGUFWriter

from edgelora.adapters.library import AdapterLibrary

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 8
TARGET = "blk.0.attn_q.weight"


class MakeAdapter(Protocol):
    def __call__(self, path: Path, *, rank: int = 2, width: int = WIDTH, seed: int = 0, prompt: str = "") -> Path: ...


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(WIDTH)
    for name in ("token_embd.weight", TARGET):
        writer.add_tensor(name, np.ones((WIDTH, WIDTH), np.float32))
    _write(writer)
    return path


@pytest.fixture
def make_adapter() -> MakeAdapter:
    def make(path: Path, *, rank: int = 2, width: int = WIDTH, seed: int = 0, prompt: str = "") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(seed)
        writer = GGUFWriter(path, "llama")
        writer.add_string("general.type", "adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", 4.0)
        if prompt:
            writer.add_string("edgelora.example_prompt", prompt)
        writer.add_tensor(f"{TARGET}.lora_a", values.standard_normal((rank, width), np.float32))
        writer.add_tensor(f"{TARGET}.lora_b", values.standard_normal((width, rank), np.float32))
        _write(writer)
        return path

    return make


@pytest.fixture
def library(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdapterLibrary:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return AdapterLibrary(base, folder=tmp_path / "adapters", demo=tmp_path / "demo")


def _write(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
