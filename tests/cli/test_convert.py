from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

import pytest
from edgelora_convert.encode import DType
from support.peft_folders import Shape, peft_source, write_base

from edgelora.cli.convert import DTYPES
from edgelora.gguf.hashes import file_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Edgelora

SHAPE = Shape()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_base(tmp_path / "base.gguf", SHAPE)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return peft_source(SHAPE).save(tmp_path / "my-lora")


def test_the_path_alone_goes_to_stdout(edgelora: Edgelora, base: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    outcome = edgelora("convert", source, "--base", base, "-o", out)
    assert (outcome.code, outcome.out) == (0, f"{out}\n")
    assert file_sha256(out) in outcome.err
    assert "attn_q" in outcome.err


def test_json_is_one_document(edgelora: Edgelora, base: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    report = json.loads(edgelora("convert", source, "--base", base, "-o", out, "--dtype", "f32", "--json").out)
    assert report["sha256"] == file_sha256(out)
    assert report["types"] == {"F32": 8}


def test_without_a_name_it_is_the_folders_and_nothing_is_replaced(
    edgelora: Edgelora, base: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert edgelora("convert", source, "--base", base).out == "my-lora.gguf\n"
    before = (tmp_path / "my-lora.gguf").stat()
    again = edgelora("convert", source, "--base", base)
    assert again.code == 2
    assert "my-lora.gguf exists already" in again.err
    assert (tmp_path / "my-lora.gguf").stat() == before


def test_a_refusal_lists_its_reasons_and_writes_nothing(
    edgelora: Edgelora, base: Path, source: Path, tmp_path: Path
) -> None:
    config = json.loads((source / "adapter_config.json").read_text())
    (source / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True, "bias": "all"}))
    outcome = edgelora("convert", source, "--base", base, "-o", tmp_path / "out.gguf")
    assert (outcome.code, outcome.out) == (1, "")
    assert "DoRA" in outcome.err
    assert "bias" in outcome.err
    assert {path.name for path in tmp_path.glob("*.*")} == {"base.gguf"}


def test_every_type_of_the_converter_is_offered() -> None:
    assert set(DTYPES) == set(get_args(DType))
