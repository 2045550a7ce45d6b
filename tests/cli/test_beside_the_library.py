"""The demo's adapters and the folder's are shown like the library's; who wants a version hears what they are."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest
from support.adapters import write_adapter

from edgelora.adapters.bases import add_base
from edgelora.config import locations
from edgelora.gguf.hashes import file_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Edgelora


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("EDGELORA_ADAPTERS", str(folder))
    return folder


def test_info_shows_an_adapter_of_the_demo_and_one_of_the_folder(
    edgelora: Edgelora, folder: Path, demo_base: Path
) -> None:
    own = write_adapter(folder / "own.gguf", demo_base, rank=4)
    legal = locations.demo_adapters() / "legal.gguf"
    for name, path, place in (("legal", legal, "the demo"), ("own", own.path, f"the folder {folder}")):
        told = edgelora("adapters", "info", name)
        assert told.code == 0
        assert f"{name} is an adapter of {place}, not of the library" in told.out
        assert file_sha256(path) in told.out
        assert str(path) in told.out
        assert "base       demo: fits" in told.out
        described = json.loads(edgelora("adapters", "info", name, "--json").out)
        assert (described["name"], described["version"], described["path"]) == (name, None, str(path))
        assert (described["sha256"], described["bases"]) == (file_sha256(path), {"demo": None})


def test_info_shows_what_cannot_be_used_too(edgelora: Edgelora, folder: Path) -> None:
    (folder / "empty.gguf").touch()
    (folder / "half").mkdir()
    (folder / "half" / "adapter_config.json").write_text("{}")
    for name in ("empty", "half"):
        told = edgelora("adapters", "info", name)
        assert told.code == 0
        assert "base       demo: " in told.out
        assert "demo: fits" not in told.out


@pytest.mark.parametrize(
    ("command", "does"),
    [
        (("remove", "legal"), "stays"),
        (("remove", "legal@1"), "stays"),
        (("pin", "legal@2"), "adapters add"),
        (("rollback", "legal"), "adapters add"),
        (("alias", "law", "legal"), "adapters add"),
        (("verify", "legal"), "adapters add"),
        (("info", "legal@1"), "adapters add"),
    ],
)
def test_what_only_the_library_can_do_says_why_not_for_the_demo(
    edgelora: Edgelora, folder: Path, command: tuple[str, ...], does: str
) -> None:
    refused = edgelora("adapters", *command)
    assert (refused.code, refused.out) == (1, "")
    said, hint = refused.err.splitlines()
    assert said == "edgelora: legal is an adapter of the demo, not of the library"
    assert does in hint


def test_an_adapter_of_the_folder_is_removed_by_removing_its_file(
    edgelora: Edgelora, folder: Path, demo_base: Path
) -> None:
    own = write_adapter(folder / "own.gguf", demo_base)
    refused = edgelora("adapters", "remove", "own")
    assert refused.err.splitlines()[0] == f"edgelora: own is an adapter of the folder {folder}, not of the library"
    assert f"rm {shlex.quote(str(own.path))}" in refused.err
    assert own.path.exists()


def test_what_nobody_has_is_said_as_before_also_where_no_base_can_be_read(
    edgelora: Edgelora, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGELORA_BASE", str(tmp_path / "gone.gguf"))
    assert edgelora("adapters", "info", "legal").err.startswith("edgelora: the library has no adapter 'legal'")
    monkeypatch.delenv("EDGELORA_BASE")
    assert edgelora("adapters", "info", "none").err.startswith("edgelora: the library has no adapter 'none'")


def test_alias_says_what_it_did(edgelora: Edgelora, folder: Path) -> None:
    edgelora("adapters", "add", locations.demo_adapters() / "legal.gguf", "--name", "law")
    assert edgelora("adapters", "alias", "prod", "law").err == "edgelora: prod means law, now law@1\n"
    assert edgelora("adapters", "alias", "prod", "law@1").err == "edgelora: prod means law@1; it meant law\n"
    assert edgelora("adapters", "alias", "prod", "--remove").err == "edgelora: prod means nothing now; it meant law@1\n"


@pytest.mark.parametrize("command", ["pin", "info", "remove", "verify"])
def test_a_version_of_an_alias_is_asked_for_by_the_name(edgelora: Edgelora, folder: Path, command: str) -> None:
    edgelora("adapters", "add", locations.demo_adapters() / "legal.gguf", "--name", "law")
    edgelora("adapters", "alias", "prod", "law")
    refused = edgelora("adapters", command, "prod@1")
    for outcome in (refused, edgelora("run", "Hello", "--adapter", "prod@1")):
        hint = outcome.err.splitlines()[1]
        assert hint == "prod is an alias of law without versions of its own: use law@1."


def test_a_path_without_its_slash_is_recognized(
    edgelora: Edgelora, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "skill").mkdir()
    assert "write ./skill." in edgelora("run", "Hello", "--adapter", "skill").err
    assert "give a path: ./other.gguf" in edgelora("run", "Hello", "--adapter", "other").err


def test_each_alias_that_keeps_an_adapter_is_named(edgelora: Edgelora, folder: Path) -> None:
    edgelora("adapters", "add", locations.demo_adapters() / "legal.gguf", "--name", "law")
    edgelora("adapters", "alias", "prod", "law")
    edgelora("adapters", "alias", "test", "law@1")
    assert "law cannot be removed: prod, test are aliases of it" in edgelora("adapters", "remove", "law").err


def test_made_for_names_every_base_with_those_bytes(edgelora: Edgelora, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(locations.demo_base().read_bytes())
    add_base(copy, "copy")
    edgelora("adapters", "add", locations.demo_adapters() / "legal.gguf")
    assert "made for   demo, copy (base)" in edgelora("adapters", "info", "legal").out
    assert json.loads(edgelora("adapters", "info", "legal", "--json").out)["made_for"] == ["demo", "copy"]


def test_going_back_from_the_only_version_names_no_version_to_choose(edgelora: Edgelora, folder: Path) -> None:
    edgelora("adapters", "add", locations.demo_adapters() / "legal.gguf", "--name", "law")
    refused = edgelora("adapters", "rollback", "law")
    assert refused.err.splitlines()[1].startswith(
        "law has only version 1; another one comes with: edgelora adapters add"
    )


def test_a_name_that_nobody_has_is_looked_for_once(
    edgelora: Edgelora, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("edgelora.cli.adapters.beside.beside", asked.append)
    assert edgelora("adapters", "info", "nobody").code == 1
    assert asked == ["nobody"]
