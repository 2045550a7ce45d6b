"""Bases by name, and those that other programs have."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Edgelora


def test_a_name_is_taken_wherever_a_base_is(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    path = tmp_path / "My Base.gguf"
    shutil.copy(demo_base, path)
    assert edgelora("bases", "add", path).out == "my-base\n"
    assert edgelora("bases", "add", path).out == "my-base\n"
    assert edgelora("bases", "add", path, "--name", "small").out == "small\n"
    for arguments in (("run", "Hello", "--max-tokens", 2), ("adapters", "list")):
        assert edgelora(*arguments, "--base", "small").code == 0
    run = json.loads(edgelora("run", "Hello", "--max-tokens", 2, "--base", "small", "--json").out)
    assert run["base"]["path"] == str(path)
    adapter = demo_base.parent / "adapters" / "legal.gguf"
    assert edgelora("convert", adapter, "--base", "small", "-o", tmp_path / "out.gguf").code == 0
    listed = {row["name"]: row for row in json.loads(edgelora("bases", "list", "--json").out)["bases"]}
    assert listed.keys() == {"demo", "my-base", "small"}
    assert listed["small"]["path"] == str(path)
    told = json.loads(edgelora("bases", "info", "small", "--json").out)
    assert (told["arch"], "legal" in told["adapters"], told["fingerprint"]) == (
        "llama",
        True,
        run["base"]["fingerprint"],
    )
    assert edgelora("bases", "remove", "small").code == 0
    assert path.exists()
    assert edgelora("run", "Hello", "--base", "small").code == 1


def test_a_base_that_has_gone_says_where_it_was(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    path = shutil.copy(demo_base, tmp_path / "gone.gguf")
    edgelora("bases", "add", path)
    os.unlink(path)
    assert "not there any more" in edgelora("bases", "list").out
    assert f"the base gone is not at {path} any more" in edgelora("run", "Hello", "--base", "gone").err
    moved = shutil.copy(demo_base, tmp_path / "moved.gguf")
    edgelora("bases", "add", moved, "--name", "gone")
    assert edgelora("run", "Hello", "--max-tokens", 1, "--base", "gone").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("add", "none.gguf"), 1, "none.gguf"),
        (("add", "{adapter}"), 1, "not a base"),
        (("add", "{base}", "--name", "demo"), 2, "the embedded demo's base"),
        (("add", "{base}", "--name", "A b"), 2, "no base name"),
        (("remove", "none"), 1, "no base is called 'none'"),
        (("info", "none"), 1, "none of that name"),
        (("info", "~nobody-here/x"), 1, "none of that name"),
        (("info", "x" * 300), 1, "none of that name"),
        (("add", "~nobody-here/x.gguf"), 1, "no such file"),
    ],
)
def test_what_cannot_be_is_one_message(
    edgelora: Edgelora, demo_base: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    import re

    adapter = demo_base.parent / "adapters" / "legal.gguf"
    outcome = edgelora("bases", *(text.format(base=demo_base, adapter=adapter) for text in arguments))
    assert (outcome.code, bool(re.search(says, outcome.err))) == (code, True), outcome.err


def test_a_damaged_list_says_what_to_do(edgelora: Edgelora, tmp_path: Path) -> None:
    (tmp_path / "data" / "edgelora").mkdir(parents=True)
    (tmp_path / "data" / "edgelora" / "bases.json").write_text("{")
    outcome = edgelora("run", "Hello", "--base", "small")
    assert (outcome.code, "is damaged" in outcome.err, "edgelora bases add" in outcome.err) == (1, True, True)


def test_bases_of_other_programs_are_offered(
    edgelora: Edgelora, demo_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    adapter = demo_base.parent / "adapters" / "legal.gguf"

    snapshot = home / "hub" / "models--org--tiny-GGUF" / "snapshots" / "c0ffee"
    blob = copied(demo_base, home / "hub" / "models--org--tiny-GGUF" / "blobs" / "abc")
    snapshot.mkdir(parents=True)
    (snapshot / "tiny.gguf").symlink_to(blob)
    copied(adapter, snapshot / "lora.gguf")
    copied(demo_base, snapshot / "big-00002-of-00002.gguf")

    studio = copied(demo_base, home / ".lmstudio" / "models" / "pub" / "mini" / "mini.gguf")
    copied(demo_base, studio.with_name("mmproj-mini.gguf"))

    ollama = home / ".ollama" / "models"
    digest = hashlib.sha256(b"x").hexdigest()
    copied(demo_base, ollama / "blobs" / f"sha256-{digest}")
    manifest = ollama / "manifests" / "registry.ollama.ai" / "library" / "wee" / "1b"
    manifest.parent.mkdir(parents=True)
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": 1}]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    (manifest.parent / "broken").write_text("{")

    found = json.loads(edgelora("bases", "list", "--json").out)["offered"]
    assert [(row["program"], row["title"]) for row in found] == [
        ("hub cache", "org/tiny-GGUF: tiny.gguf"),
        ("LM Studio", "pub/mini/mini.gguf"),
        ("Ollama", "wee:1b"),
    ]
    edgelora("bases", "add", found[2]["path"], "--name", "wee")
    assert edgelora("run", "Hello", "--max-tokens", 1, "--base", "wee").code == 0
    left = json.loads(edgelora("bases", "list", "--json").out)["offered"]
    assert [row["program"] for row in left] == ["hub cache", "LM Studio"]
    (home / ".lmstudio-home-pointer").write_text(str(home / "elsewhere"))
    assert "LM Studio" not in edgelora("bases", "list").out


def copied(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(source, target))
