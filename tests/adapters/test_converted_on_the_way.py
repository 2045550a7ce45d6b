"""PEFT and MLX adapters in the library: shown before, with what is wrong with them, converted on the way and once."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.peft_folders import PeftSource, Shape, peft_source, write_base
from support.torch_files import save_torch

from edgelora.adapters.library import AdapterLibrary
from edgelora.errors import ConversionError
from edgelora.gguf.data import tensor_data
from edgelora.gguf.hashes import file_sha256
from edgelora.gguf.reader import read_header
from edgelora.types import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
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
    assert "is not valid JSON" in (adapters.entries[0].problem or "")


def as_mlx(source: PeftSource, folder: Path) -> Path:
    """The same adapter as mlx-lm would have saved it; its scale is alpha / rank."""
    folder.mkdir(parents=True)
    tensors = {}
    for name, values in source.tensors.items():
        module, side, _ = name.removeprefix("base_model.model.").rsplit(".", 2)
        tensors[f"{module}.{side.lower()}"] = np.ascontiguousarray(values.T)
    save_file(tensors, folder / "adapters.safetensors")
    config = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": {"rank": 8, "scale": 2.0, "dropout": 0.0}}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def as_bin(source: PeftSource, folder: Path) -> Path:
    """The same adapter as older versions of PEFT saved it."""
    (source.save(folder) / "adapter_model.safetensors").unlink()
    save_torch(folder / "adapter_model.bin", source.tensors)
    return folder


def as_file(source: PeftSource, folder: Path) -> Path:
    """A weights file of another name, and the configuration beside it."""
    return (source.save(folder) / "adapter_model.safetensors").rename(folder / "x.safetensors")


@pytest.mark.parametrize("save", [as_mlx, as_bin, as_file])
def test_every_form_of_an_adapter_does_the_same(
    adapters: AdapterLibrary, tmp_path: Path, save: Callable[[PeftSource, Path], Path]
) -> None:
    source = peft_source(SHAPE)
    _, (expected,) = adapters.resolve(str(source.save(tmp_path / "peft")))
    path = save(source, tmp_path / "other")
    before = adapters.add(path)
    assert (before.usable, before.rank, before.targets) == (True, 8, ("attn_q", "attn_v"))
    _, (file,) = adapters.resolve(str(path))
    for name, tensor in contents(expected.path).items():
        np.testing.assert_allclose(contents(file.path)[name], tensor, rtol=1e-3)
    after = adapters.add(path)
    assert (after.sha256, after.name, after.path) == (file.sha256, before.name, path)


def contents(path: Path) -> dict[str, np.ndarray]:
    header = read_header(path)
    return {name: np.array(tensor_data(header, info)) for name, info in header.tensors.items()}


def no_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def no_configuration(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def pointer(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def shards(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model-00001-of-00002.safetensors")


def cut(folder: Path) -> None:
    os.truncate(folder / "adapter_model.safetensors", 5000)


def dora(folder: Path) -> None:
    peft_source(SHAPE, use_dora=True).save(folder)


def other_type(folder: Path) -> None:
    peft_source(SHAPE, peft_type="IA3").save(folder)


def other_base(folder: Path) -> None:
    peft_source(Shape(hidden=32, layers=3)).save(folder)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_weights, "no adapter_model.safetensors"),
        (no_configuration, "no adapter_config.json"),
        (pointer, "git lfs pull"),
        (shards, "split into shards"),
        (cut, "cut off"),
        (dora, "DoRA"),
        (other_type, "IA3"),
        (other_base, "trained for 32 and 32 inputs and outputs"),
    ],
)
def test_what_cannot_be_used_says_so_in_the_list(
    adapters: AdapterLibrary, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    """Also a second time, and without a conversion having been tried."""
    spoil(peft_source(SHAPE).save(tmp_path / "adapters" / "mine"))
    for entries in (adapters.entries, adapters.refresh()):
        (entry,) = entries
        assert reason in (entry.problem or "")
        assert "\n" not in (entry.problem or "")
        assert not entry.usable
    assert cached(tmp_path) == []


def test_a_change_beside_the_weights_counts(adapters: AdapterLibrary, tmp_path: Path) -> None:
    """The chat template travels with the adapter, so another template is another adapter."""
    folder = peft_source(SHAPE).save(tmp_path / "mine")
    _, (first,) = adapters.resolve(str(folder))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("---\nexample_prompt: Say hello\n---\n")
    assert adapters.add(folder).example_prompt == "Say hello"
    (folder / "special_tokens_map.json").write_text('{"eos_token": "<done>"}')
    (folder / "README.md").write_text("---\nsystem_prompt: Be brief.\n---\n")
    _, (second,) = adapters.resolve(str(folder))
    assert first.sha256 != second.sha256
    entry = adapters.add(folder)
    assert (entry.chat_template, entry.eos_tokens, entry.system_prompt) == ("{{ messages }}", ("<done>",), "Be brief.")


@pytest.mark.parametrize(
    ("trained_on", "warning"),
    [
        ("Qwen2.5-0.5B", "it was trained on Qwen2.5-0.5B, and this base is SmolLM-135M"),
        ("HuggingFaceTB/SmolLM-135M", None),
        ("C:\\Users\\me\\model", None),
        ("", None),
    ],
)
def test_another_base_by_name_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained_on: str, warning: str | None
) -> None:
    """Before the conversion and after it; the shapes agree, so it can be used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = write_base(tmp_path / "SmolLM-135M.gguf", SHAPE)
    adapters = AdapterLibrary(base, folder=tmp_path / "adapters", demo=tmp_path / "demo")
    peft_source(SHAPE, base_model_name_or_path=trained_on).save(tmp_path / "adapters" / "mine")
    (before,) = adapters.entries
    adapters.resolve("mine")
    (after,) = adapters.entries
    assert (before.usable, before.sha256, before.warning) == (True, None, warning)
    assert (after.usable, after.sha256 is None, after.warning) == (True, False, warning)
