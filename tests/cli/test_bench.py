from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.adapters import write_adapter

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Edgelora


def test_swap_prints_one_document_and_writes_the_page(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    adapters = [write_adapter(tmp_path / f"{name}.gguf", demo_base, seed=seed).path for seed, name in enumerate("ab")]
    page = tmp_path / "report.md"
    given = [argument for path in adapters for argument in ("--adapter", path)]
    outcome = edgelora(
        "bench", "swap", *given, "--ctx", 64, "--rounds", 1, "--prompt", "Say it.", "--report", page, "--json"
    )
    assert (outcome.code, outcome.err) == (0, "")
    document = json.loads(outcome.out)
    assert [adapter["prompt"] for adapter in document["adapters"]] == ["Say it."] * 2
    assert page.read_text().startswith("# edgelora bench swap\n")
    assert document["machine"]["threads"] == 1


def test_a_page_that_cannot_be_written_is_said_before_anything_is_measured(edgelora: Edgelora, tmp_path: Path) -> None:
    outcome = edgelora("bench", "swap", "--report", tmp_path / "none" / "report.md")
    assert (outcome.code, outcome.out) == (2, "")
    assert "none" in outcome.err


def test_mixed_and_load_print_one_document(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    adapters = [write_adapter(tmp_path / f"{name}.gguf", demo_base, seed=seed).path for seed, name in enumerate("ab")]
    given = [argument for path in adapters for argument in ("--adapter", path)]
    outcome = edgelora("bench", "mixed", *given, "--sequences", 2, "--rounds", 1, "--ctx", 128, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out)["step_ms_mixed"] > 0
    load = ("--clients", 2, "--requests", 3, "--prompt-tokens", 8, "--max-tokens", 3)
    outcome = edgelora("bench", "load", *given, *load, "--ctx", 128, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    document = json.loads(outcome.out)
    assert (document["requests"], document["errors"], document["wrong_adapter"]) == (3, 0, 0)


def test_more_adapters_than_there_are(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a.gguf", demo_base, seed=1).path
    outcome = edgelora("bench", "mixed", "--adapter", adapter, "--adapters", 2)
    assert (outcome.code, outcome.out) == (2, "")
    assert "not 2" in outcome.err


def test_a_page_does_not_go_to_stdout(edgelora: Edgelora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = edgelora("bench", "swap", "--report", "-")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--report takes the path of a file" in outcome.err
    assert not (tmp_path / "-").exists()


def test_a_folder_that_nobody_may_write_to_is_said_before_anything_is_measured(
    edgelora: Edgelora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != str(tmp_path))  # who is root may everything
    outcome = edgelora("bench", "swap", "--report", tmp_path / "report.md")
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{tmp_path} may not be written to" in outcome.err


@pytest.mark.parametrize("url", ["nope", "", "ftp://127.0.0.1:1", "http://"])
def test_a_server_is_named_by_its_address(edgelora: Edgelora, url: str) -> None:
    outcome = edgelora("bench", "load", "--url", url, "--requests", 1)
    assert (outcome.code, outcome.out) == (2, "")
    assert "http://127.0.0.1:8080" in outcome.err
