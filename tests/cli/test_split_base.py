"""A base in parts is one base: for every command, named by any of its parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.split_gguf import split_gguf

from edgelora.gguf.hashes import fingerprint
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Edgelora


ASK = "Write a confidentiality clause between Acme and Birch."


@pytest.fixture
def parts(demo_base: Path, tmp_path: Path) -> list[Path]:
    return split_gguf(demo_base, tmp_path, 3)


def test_answers_are_those_of_the_whole_file(edgelora: Edgelora, demo_base: Path, parts: list[Path]) -> None:
    def answered(base: Path, adapter: str) -> Any:
        outcome = edgelora("run", ASK, "--max-tokens", 12, "--base", base, "--adapter", adapter, "--json")
        assert outcome.code == 0, outcome.err
        return json.loads(outcome.out)

    whole = {adapter: answered(demo_base, adapter)["text"] for adapter in ("base", "legal")}
    assert whole["base"] != whole["legal"]
    of_parts = {adapter: answered(parts[0], adapter) for adapter in whole}
    assert {adapter: answer["text"] for adapter, answer in of_parts.items()} == whole
    by_another = answered(parts[2], "legal")
    assert (by_another["text"], by_another["base"]) == (whole["legal"], of_parts["legal"]["base"])
    assert by_another["base"]["path"] == str(parts[0])


def test_an_adapter_is_converted_as_for_the_whole_file(
    edgelora: Edgelora, demo_base: Path, parts: list[Path], tmp_path: Path
) -> None:
    source = demo_base.parent / "source" / "adapters" / "legal"
    reports = {}
    for name, base in (("whole", demo_base), ("parts", parts[1])):
        outcome = edgelora(
            "convert", source, "--base", base, "-o", tmp_path / f"{name}.gguf", "--exact-norms", "--json"
        )
        assert outcome.code == 0, outcome.err
        reports[name] = json.loads(outcome.out)
    assert reports["whole"]["targets"] == reports["parts"]["targets"]  # with norms of the base's values
    assert reports["parts"]["base_fingerprint"] == fingerprint(parts[0]) != fingerprint(demo_base)
    whole, of_parts = (read_header(tmp_path / f"{name}.gguf") for name in reports)
    assert {info.name: info.shape for info in whole.tensors.values()} == {
        info.name: info.shape for info in of_parts.tensors.values()
    }


@pytest.mark.slow
def test_a_folder_is_merged_and_verified(
    edgelora: Edgelora, demo_base: Path, parts: list[Path], tmp_path: Path
) -> None:
    source, out = demo_base.parent / "source" / "adapters" / "legal", tmp_path / "out.gguf"
    outcome = edgelora("merge", "--base", parts[0], "--adapter", source, "-o", out, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["verdict"] == "passed"


def test_a_fingerprint_covers_every_part(parts: list[Path]) -> None:
    before = fingerprint(parts[0])
    raw = bytearray(parts[2].read_bytes())
    raw[-40] ^= 1
    parts[2].write_bytes(raw)
    assert fingerprint(parts[0]) != before


def test_it_has_one_name_and_is_offered_once(
    edgelora: Edgelora, parts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    models = tmp_path / "home" / ".lmstudio" / "models" / "pub" / "big"
    models.mkdir(parents=True)
    for part in parts:
        part.rename(models / part.name)
    (offered,) = json.loads(edgelora("bases", "list", "--json").out)["offered"]
    assert offered["path"] == str(models / parts[0].name)
    assert edgelora("bases", "add", models / parts[1].name, "--name", "big").out == "big\n"
    assert json.loads(edgelora("bases", "list", "--json").out)["offered"] == []
    assert json.loads(edgelora("bases", "info", "big", "--json").out)["path"] == offered["path"]


def test_a_missing_part_is_named(edgelora: Edgelora, parts: list[Path]) -> None:
    parts[1].unlink()
    for command in (("run", "Hi"), ("adapters", "list")):
        outcome = edgelora(*command, "--base", parts[0])
        assert (outcome.code, f"missing: {parts[1].name}" in outcome.err) == (1, True), outcome.err
