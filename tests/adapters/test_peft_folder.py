"""PEFT folders in the library: shown before, converted on the way, converted once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.peft_folders import Shape, peft_source, write_base

from edgelora.adapters.library import AdapterLibrary
from edgelora.errors import ConversionError
from edgelora.gguf.hashes import file_sha256
from edgelora.types import Progress

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = Shape()


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdapterLibrary:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = write_base(tmp_path / "tiny.gguf", SHAPE)
    return AdapterLibrary(base, folder=tmp_path / "adapters", demo=tmp_path / "demo")


def cached(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache").rglob("*.gguf"))


def test_a_folder_is_shown_and_converted_when_it_is_used(adapters: AdapterLibrary, tmp_path: Path) -> None:
    peft_source(SHAPE, rank=4).save(tmp_path / "adapters" / "Mine")
    (before,) = adapters.entries
    assert (before.name, before.sha256, before.rank, before.usable) == ("mine", None, 4, True)
    assert cached(tmp_path) == []
    seen: list[Progress] = []
    selection, (file,) = adapters.resolve("mine:0.5", seen.append)
    assert seen
    assert selection.adapters == (file.sha256,)
    assert file_sha256(file.path) == file.sha256
    (after,) = adapters.entries
    assert (after.name, after.sha256, after.targets) == ("mine", file.sha256, ("attn_q", "attn_v"))


def test_the_same_source_is_converted_once(adapters: AdapterLibrary, tmp_path: Path) -> None:
    folder = peft_source(SHAPE).save(tmp_path / "mine")
    _, (first,) = adapters.resolve(str(folder))
    stamp = first.path.stat().st_mtime_ns
    assert adapters.resolve(f"{folder}:0.5")[1] == (first,)
    assert first.path.stat().st_mtime_ns == stamp
    assert len(cached(tmp_path)) == 1


@pytest.mark.parametrize("change", ["config", "weights", "base"])
def test_another_source_or_base_is_another_file(adapters: AdapterLibrary, tmp_path: Path, change: str) -> None:
    folder = peft_source(SHAPE).save(tmp_path / "mine")
    _, (first,) = adapters.resolve(str(folder))
    if change == "config":
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 32.5}))
    elif change == "weights":
        peft_source(SHAPE, seed=2).save(folder)
    else:
        base = write_base(tmp_path / "other.gguf", Shape(vocab=64))
        adapters = AdapterLibrary(base, folder=tmp_path / "adapters", demo=tmp_path / "demo")
    _, (second,) = adapters.resolve(str(folder))
    assert second.path != first.path
    assert len(cached(tmp_path)) == 2


def test_a_folder_that_cannot_be_converted_leaves_nothing(adapters: AdapterLibrary, tmp_path: Path) -> None:
    peft_source(SHAPE, use_dora=True).save(tmp_path / "adapters" / "dora")
    with pytest.raises(ConversionError, match="DoRA"):
        adapters.resolve("dora")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_broken_configuration_is_said_in_the_list(adapters: AdapterLibrary, tmp_path: Path) -> None:
    (tmp_path / "adapters" / "bad").mkdir(parents=True)
    (tmp_path / "adapters" / "bad" / "adapter_config.json").write_text("{")
    assert "is not JSON" in (adapters.entries[0].problem or "")
