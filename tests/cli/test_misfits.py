"""What cannot be used with what: named as people name it, few reasons, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.peft_folders import Shape, peft_source, write_base
from support.tiny_llama import write_tiny_llama

from edgelora.config import locations

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Edgelora

SOURCE = locations.models_dir() / "source" / "adapters" / "legal"


@pytest.fixture
def other_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base that no adapter of the demo fits; the library is empty."""
    monkeypatch.setenv("EDGELORA_ADAPTERS", str(tmp_path / "mine"))
    return write_tiny_llama(tmp_path / "other.gguf")


def commands(base: Path, adapter: object, tmp_path: Path) -> list[tuple[object, ...]]:
    chosen = ("--base", base, "--adapter", adapter)
    return [("run", "Hello", *chosen), ("bench", "swap", *chosen), ("merge", *chosen, "-o", tmp_path / "out.gguf")]


def test_an_adapter_of_the_library_is_named_by_name(edgelora: Edgelora, other_base: Path, tmp_path: Path) -> None:
    edgelora("adapters", "add", locations.demo_adapters() / "legal.gguf", "--name", "law")
    for command in commands(other_base, "law", tmp_path):
        said = edgelora(*command).err
        first, *reasons, hint = said.splitlines()
        assert "law@1" in first
        assert ".library" not in said
        assert len(reasons) == 4
        assert reasons[-1].startswith("  - and ")
        assert hint.startswith("Use the base that it was trained on")


def test_a_file_is_named_by_its_path(edgelora: Edgelora, other_base: Path, tmp_path: Path) -> None:
    legal = locations.demo_adapters() / "legal.gguf"
    for command in commands(other_base, legal, tmp_path):
        first, *reasons, hint = edgelora(*command).err.splitlines()
        assert str(legal) in first
        assert len(reasons) == 4
        assert hint.startswith("Use the base that it was trained on")


def test_a_folder_for_another_base_says_everything_and_what_to_do(
    edgelora: Edgelora, other_base: Path, tmp_path: Path
) -> None:
    to_convert = ("convert", SOURCE, "--base", other_base, "-o", tmp_path / "out.gguf")
    to_add = ("adapters", "add", SOURCE, "--base", other_base)
    for command in (to_convert, to_add, *commands(other_base, SOURCE, tmp_path)):
        outcome = edgelora(*command)
        assert (outcome.code, outcome.out) == (1, "")
        assert "of the base has" in outcome.err
        assert outcome.err.splitlines()[-1].startswith("Use the base that it was trained on")


@pytest.mark.parametrize("name", ["missing", "text.txt", "folder", "-", "empty.gguf"])
def test_what_is_no_adapter_is_not_blamed_on_the_base(
    edgelora: Edgelora, other_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "empty.gguf").touch()
    to_convert = ("convert", name, "--base", other_base, "-o", "out.gguf")
    for command in (to_convert, ("adapters", "add", name), ("merge", *to_convert[2:], "--adapter", f"./{name}")):
        hint = edgelora(*command).err.splitlines()[-1]
        assert "base" not in hint
        assert "Give a GGUF adapter, or a PEFT or MLX folder." in hint or "copy it again" in hint


def test_an_adapter_trained_for_another_base_says_so_where_nobody_named_one(
    edgelora: Edgelora, other_base: Path, tmp_path: Path
) -> None:
    peft_source(Shape(hidden=32)).save(tmp_path / "skill")
    hint = edgelora("adapters", "add", tmp_path / "skill").err.splitlines()[-1]
    assert str(locations.demo_base()) in hint
    assert "--base chooses another" in hint


def test_what_no_base_would_help_is_not_blamed_on_the_base(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    """Such an adapter changed the base's weights as well: another base is not what it lacks."""
    peft_source(Shape(), kasa_config={"kasa_beta": 0.1}).save(tmp_path / "skill")
    for command in (
        (
            "convert",
            tmp_path / "skill",
            "--base",
            write_base(tmp_path / "base.gguf", Shape()),
            "-o",
            tmp_path / "o.gguf",
        ),
        ("adapters", "add", tmp_path / "skill", "--base", tmp_path / "base.gguf"),
    ):
        refused = edgelora(*command)
        assert "also changes the base weights" in refused.err
        assert "Use the base" not in refused.err


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("text.txt", "A base is a whole model"),
        ("missing.gguf", "edgelora bases list"),
        ("folder", "Give the GGUF file"),
        ("adapter.gguf", "--adapter"),
    ],
)
def test_what_is_no_base_says_what_is_one(
    edgelora: Edgelora, other_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "adapter.gguf").write_bytes((locations.demo_adapters() / "legal.gguf").read_bytes())
    for command in (
        ("bases", "add", name),
        ("convert", SOURCE, "--base", f"./{name}", "-o", "out.gguf"),
        ("merge", "--adapter", "legal", "--base", f"./{name}", "-o", "out.gguf"),
    ):
        outcome = edgelora(*command)
        assert outcome.code == 1
        assert hint in outcome.err.splitlines()[-1]


def test_a_model_as_the_source_of_a_conversion_is_not_for_another_base(
    edgelora: Edgelora, other_base: Path, tmp_path: Path
) -> None:
    refused = edgelora("convert", locations.demo_base(), "--base", other_base, "-o", tmp_path / "out.gguf")
    assert refused.err.splitlines()[-1] == "Give a GGUF adapter, or a PEFT or MLX folder."


@pytest.mark.parametrize("out", [".", "none/out.gguf"])
def test_where_a_conversion_cannot_go(edgelora: Edgelora, demo_base: Path, tmp_path: Path, out: str) -> None:
    refused = edgelora("convert", SOURCE, "--base", demo_base, "-o", tmp_path / out)
    assert refused.err.splitlines()[-1].startswith("Say with -o")


@pytest.mark.parametrize(
    "command",
    [
        ("run", "Hello", "--template", "~nobody-here/x"),
        ("run", "Hello", "--system", "@~nobody-here/x"),
        ("merge", "--base", "demo", "--adapter", "~nobody-here/x", "-o", "out.gguf"),
        ("convert", "~nobody-here/x", "--base", "demo", "-o", "out.gguf"),
        ("bases", "add", "~nobody-here/x"),
    ],
)
def test_the_home_of_nobody_is_a_path_that_is_not_there(edgelora: Edgelora, command: tuple[str, ...]) -> None:
    refused = edgelora(*command)
    assert refused.code in (1, 2)
    assert "~nobody-here/x" in refused.err
    assert "internal error" not in refused.err


@pytest.mark.parametrize(
    ("template", "says"), [("nope", "No such file"), (".", "Is a directory"), ("empty.txt", "is empty")]
)
def test_a_template_that_cannot_be_read(
    edgelora: Edgelora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text(" \n")
    refused = edgelora("run", "Hello", "--template", template)
    assert (refused.code, refused.out) == (1, "")
    assert says in refused.err
    assert "Errno" not in refused.err
    assert "chatml" in refused.err.splitlines()[-1]


def test_an_adapter_folder_that_is_none(edgelora: Edgelora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGELORA_ADAPTERS", str(tmp_path / "file"))
    for command in (("list",), ("add", locations.demo_adapters() / "legal.gguf")):
        refused = edgelora("adapters", *command)
        assert refused.code == 1
        assert "EDGELORA_ADAPTERS" in refused.err.splitlines()[-1]


@pytest.mark.parametrize("command", ["convert", "merge"])
def test_a_model_file_does_not_go_to_stdout(
    edgelora: Edgelora, demo_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = (SOURCE,) if command == "convert" else ("--adapter", "legal")
    refused = edgelora(command, *source, "--base", demo_base, "-o", "-")
    assert (refused.code, refused.out) == (2, "")
    assert "-o takes the path of a file" in refused.err
    assert not (tmp_path / "-").exists()


def test_the_demos_base_keeps_its_name(edgelora: Edgelora) -> None:
    refused = edgelora("bases", "remove", "demo")
    assert (refused.code, refused.err.splitlines()[0]) == (1, "edgelora: 'demo' is the embedded demo's base")
    assert "edgelora bases add" in edgelora("bases", "remove", "none").err
