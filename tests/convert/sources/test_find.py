"""What a path on disk holds is found out before anything is read: an adapter, or in words what else."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.problems import Problems
from edgelora_convert.sources.find import Found, GgufFile, MlxFolder, PeftFolder, find_source
from safetensors.numpy import save_file

from edgelora.errors import ConversionError

if TYPE_CHECKING:
    from pathlib import Path

PEFT = {"peft_type": "LORA"}
MLX = {"fine_tune_type": "lora", "lora_parameters": {"scale": 20.0}}
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def write(folder: Path, *names: str, config: object = None) -> Path:
    """Files of the given names, which hold a tensor or what their name says, and a configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        save_file({"x": np.zeros(1, np.float32)}, folder / name)
    if config is not None:
        (folder / "adapter_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


def find(path: Path) -> Found:
    return find_source(path, Problems(str(path)))


def reasons(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConversionError) as caught:
        find(path)
    return caught.value.problems


@pytest.mark.parametrize(
    ("config", "files", "kind", "weights"),
    [
        (PEFT, ["adapter_model.safetensors"], PeftFolder, "adapter_model.safetensors"),
        (PEFT, ["adapter_model.bin"], PeftFolder, "adapter_model.bin"),
        (PEFT, ["adapter_model.bin", "adapter_model.safetensors"], PeftFolder, "adapter_model.safetensors"),
        (PEFT, ["my_lora.safetensors"], PeftFolder, "my_lora.safetensors"),
        (PEFT, ["my_lora.safetensors", "adapter_model.safetensors"], PeftFolder, "adapter_model.safetensors"),
        (PEFT, ["my_lora.safetensors", "model.safetensors"], PeftFolder, "my_lora.safetensors"),
        ({}, ["adapter_model.safetensors"], PeftFolder, "adapter_model.safetensors"),
        (MLX, ["adapters.safetensors", "0000100_adapters.safetensors"], MlxFolder, "adapters.safetensors"),
        ({**MLX, **PEFT}, ["adapter_model.safetensors"], PeftFolder, "adapter_model.safetensors"),
    ],
)
def test_folders(tmp_path: Path, config: object, files: list[str], kind: type, weights: str) -> None:
    folder = write(tmp_path / "mine", *files, config=config)
    for path in (folder, folder / "adapter_config.json"):
        found = find(path)
        assert isinstance(found, PeftFolder | MlxFolder)
        assert type(found) is kind
        assert (found.name, found.weights.name, found.folder) == ("mine", weights, folder)


@pytest.mark.parametrize(
    ("config", "file", "name"),
    [
        (PEFT, "adapter_model.safetensors", "mine"),
        (PEFT, "adapter_model.bin", "mine"),
        (PEFT, "my_lora.safetensors", "my_lora"),
        (MLX, "adapters.safetensors", "mine"),
        (MLX, "0000100_adapters.safetensors", "0000100_adapters"),
    ],
)
def test_single_files(tmp_path: Path, config: object, file: str, name: str) -> None:
    """Other adapters beside it do not matter: the file was chosen."""
    folder = write(tmp_path / "mine", file, "another.safetensors", config=config)
    found = find(folder / file)
    assert isinstance(found, PeftFolder | MlxFolder)
    assert (found.name, found.weights, found.config) == (name, folder / file, folder / "adapter_config.json")


def test_a_gguf_is_one_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"GGUF")
    assert find(tmp_path / "x.bin") == GgufFile(tmp_path / "x.bin")


NOT_THERE: dict[str, tuple[list[str], str]] = {
    "no weights": ([], "there is no adapter_model.safetensors"),
    "shards": (["adapter_model-00001-of-00002.safetensors"], "split into shards"),
    "pickled shards": (["adapter_model-00001-of-00002.bin"], "split into shards"),
    "index": (["adapter_model.safetensors.index.json"], "split into shards"),
    "pt": (["adapter_model.pt"], "adapter_model.pt"),
    "ggla": (["ggml-adapter-model.bin"], "ggla"),
    "whole model": (["model.safetensors"], "a whole model"),
    "sharded model": (["model-00001-of-00002.safetensors"], "a whole model"),
    "pickled model": (["pytorch_model.bin"], "a whole model"),
    "consolidated": (["consolidated.00.pth"], "a whole model"),
    "npz": (["adapters.npz"], "older MLX form"),
    "checkpoints": (["0000100_adapters.safetensors"], "only checkpoints"),
    "several": (["b.safetensors", "a.safetensors"], "give one of them: a.safetensors, b.safetensors"),
}


@pytest.mark.parametrize("case", NOT_THERE)
def test_folders_without_usable_weights(tmp_path: Path, case: str) -> None:
    files, expected = NOT_THERE[case]
    (problem,) = reasons(write(tmp_path, *files, config=PEFT))
    assert expected in problem


def test_config_and_weights_are_both_said(tmp_path: Path) -> None:
    assert len(reasons(write(tmp_path / "x", config=None))) == 2
    (first, second) = reasons(write(tmp_path / "y", "model.safetensors", config="["))
    assert "adapter_config.json is not valid JSON" in first
    assert "a whole model" in second


@pytest.mark.parametrize("config", ["[]", "[" * 100_000, '"x"', "\x00", "{"])
def test_configurations_that_are_none(tmp_path: Path, config: str) -> None:
    (problem,) = reasons(write(tmp_path, "adapter_model.safetensors", config=config))
    assert "adapter_config.json" in problem
    assert len(problem) < 400


def test_a_huge_configuration(tmp_path: Path) -> None:
    write(tmp_path, "adapter_model.safetensors", config=" " * (17 << 20))
    assert "too large" in reasons(tmp_path)[0]


def test_pointers_of_git_lfs(tmp_path: Path) -> None:
    write(tmp_path, config=LFS)
    (tmp_path / "adapter_model.safetensors").write_text(LFS)
    config, weights = reasons(tmp_path)
    assert "adapter_config.json is only a Git LFS pointer" in config
    assert "adapter_model.safetensors cannot be used: it is only a Git LFS pointer; run `git lfs pull`" in weights


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"ggla", "ggla"),
        (b"\x93NUMPY", "NumPy"),
        (LFS.encode(), "git lfs pull"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, start: bytes, expected: str) -> None:
    write(tmp_path, config=PEFT)
    (tmp_path / "adapter_model.safetensors").write_bytes(start)
    for path in (tmp_path, tmp_path / "adapter_model.safetensors"):
        (problem,) = reasons(path)
        assert expected in problem


def test_a_parent_folder_names_what_is_in_it(tmp_path: Path) -> None:
    for step in (500, 1000, 1500, 2000, 2500, 10_000):
        write(tmp_path / f"checkpoint-{step}", "adapter_model.safetensors", config=PEFT)
    (problem,) = reasons(tmp_path)
    listed = "checkpoint-500, checkpoint-1000, checkpoint-1500, checkpoint-2000, checkpoint-2500 and 1 more"
    assert problem.endswith(f"give one of them: {listed}")


def test_a_folder_of_ggufs(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert reasons(tmp_path) == ("there is no adapter in it; it holds GGUF files, give one of them: a.gguf",)


def test_a_file_without_configuration(tmp_path: Path) -> None:
    write(tmp_path, "my_lora.safetensors")
    (problem,) = reasons(tmp_path / "my_lora.safetensors")
    assert "no adapter_config.json beside it" in problem


def test_what_is_not_there(tmp_path: Path) -> None:
    assert reasons(tmp_path / "nothing") == ("no such file or folder",)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert reasons(tmp_path / "pipe.safetensors") == ("it is neither a file nor a folder",)
    write(tmp_path, config=PEFT)
    assert "there is no adapter_model" in reasons(tmp_path)[0]
