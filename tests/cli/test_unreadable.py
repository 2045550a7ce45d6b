"""Libraries and bases that may not be read: one clear error, and what can be looked at still is."""

from __future__ import annotations

import errno
import json
import os
import shlex
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgelora.errors import GGUFError
from edgelora.gguf.hashes import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Edgelora

SOURCE = Path(__file__).parent.parent.parent / "models" / "source" / "adapters"
ADAPTERS = SOURCE.parent.parent / "adapters"
COMMANDS = [
    ("list",),
    ("list", "--usage"),
    ("info", "law"),
    ("verify", "--no-probe"),
    ("pin", "law@1"),
    ("remove", "law"),
]


@pytest.fixture
def library(edgelora: Edgelora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with two adapters and a count."""
    monkeypatch.setenv("EDGELORA_ADAPTERS", str(tmp_path / "mine"))
    assert edgelora("adapters", "add", ADAPTERS / "legal.gguf", "--name", "law").code == 0
    assert edgelora("adapters", "add", SOURCE / "chat", "--name", "talk", "--scale", "0.5").code == 0
    assert edgelora("run", "Hello", "--max-tokens", 2, "--adapter", "law").code == 0
    return tmp_path / "mine" / ".library"


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let nobody look at what is in a folder, as its mode would for all but root, who runs the tests in places."""
    stat, opened = os.stat, open

    def refuse(path: object, place: Path) -> None:
        if isinstance(path, str | os.PathLike) and place in Path(path).parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def forbid(place: Path) -> None:
        def guarded_stat(path: object, *args: object, **kwargs: object) -> object:
            refuse(path, place)
            return stat(path, *args, **kwargs)  # type: ignore[arg-type, call-overload]

        def guarded_open(path: object, *args: object, **kwargs: object) -> object:
            refuse(path, place)
            return opened(path, *args, **kwargs)  # type: ignore[call-overload]

        monkeypatch.setattr(os, "stat", guarded_stat)
        monkeypatch.setattr("io.open", guarded_open)
        monkeypatch.setattr("builtins.open", guarded_open)

    return forbid


def document(edgelora: Edgelora, *arguments: object) -> dict[str, list[dict[str, object]]]:
    found = json.loads(edgelora(*arguments, "--json").out)
    assert isinstance(found, dict)
    return found


def test_a_library_that_may_not_be_entered_is_one_error(
    edgelora: Edgelora, library: Path, forbid: Callable[[Path], None]
) -> None:
    forbid(library)
    for command in COMMANDS:
        outcome = edgelora("adapters", *command)
        assert (outcome.code, outcome.err.count("edgelora: ")) == (1, 1), (command, outcome.err)
        assert "Permission denied" in outcome.err
        assert "internal" not in outcome.err


def test_a_library_that_is_no_folder_is_one_error(edgelora: Edgelora, library: Path) -> None:
    library.rename(library.with_name("moved"))
    library.touch()
    for command in COMMANDS:
        outcome = edgelora("adapters", *command)
        assert (outcome.code, outcome.err.count("edgelora: ")) == (1, 1), (command, outcome.err)
        assert "internal" not in outcome.err


def test_without_it_the_demo_answers(edgelora: Edgelora, library: Path, forbid: Callable[[Path], None]) -> None:
    forbid(library)
    assert edgelora("run", "Hello", "--max-tokens", 2).code == 0


def test_files_that_may_not_be_read_are_named_one_by_one(
    edgelora: Edgelora, library: Path, forbid: Callable[[Path], None]
) -> None:
    forbid(library / "files")
    rows = {row["name"]: row["problem"] for row in document(edgelora, "adapters", "list")["adapters"]}
    assert all("Permission denied" in str(rows[name]) for name in ("law", "talk"))
    assert rows["coding"] is None
    info = edgelora("adapters", "info", "law")
    assert (info.code, "Permission denied" in info.out) == (0, True)


def test_verify_goes_on_after_a_file_that_cannot_be_read(
    edgelora: Edgelora, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (unreadable, fine) = (Path(str(document(edgelora, "adapters", "info", name)["path"])) for name in ("law", "talk"))

    def hashed(path: Path) -> str:
        if path == unreadable:
            raise GGUFError(f"{path}: cannot be read ({os.strerror(errno.EIO)})")
        return file_sha256(path)

    monkeypatch.setattr("edgelora.gguf.hashes.file_sha256", hashed)
    outcome = edgelora("adapters", "verify", "--no-probe")
    assert outcome.code == 1
    assert outcome.out.splitlines() == [
        f"{'law@1':20} {unreadable}: cannot be read ({os.strerror(errno.EIO)})",
        f"{'talk@1':20} whole",
    ]
    fine.unlink()
    assert "Add it again" in edgelora("adapters", "verify", "--no-probe").out


def test_what_verify_says_to_add_again_is_the_same_adapter(
    edgelora: Edgelora, library: Path, demo_base: Path, tmp_path: Path
) -> None:
    chosen = ("--scale", "-0.5", "--scale", "2", "--layers", "0-1,3", "--modules", "attn_v,attn_q", "--dtype", "f32")
    two = (ADAPTERS / "legal.gguf", tmp_path / "with space")
    two[1].symlink_to(SOURCE / "medical")
    assert edgelora("adapters", "add", *two, "--name", "mixed", *chosen, "--base", demo_base).code == 0
    path = Path(str(document(edgelora, "adapters", "info", "mixed")["path"]))
    content = path.stem
    assert "--scale=-0.5 --scale=2.0 --layers=0,1,3" in edgelora("adapters", "info", "mixed").out
    path.unlink()
    found = edgelora("adapters", "verify", "mixed", "--no-probe").out
    command = shlex.split(found[found.index("edgelora adapters add") :])
    assert edgelora(*command[1:]).out == "mixed@1\n"
    assert file_sha256(path) == content
    assert edgelora("adapters", "verify", "mixed", "--no-probe").code == 0


def test_counts_are_read_where_nothing_may_be_written(edgelora: Edgelora, library: Path) -> None:
    with sqlite3.connect(library / "usage.sqlite3") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
    before = sorted(library.iterdir())
    assert "1 answer, 2 tokens" in edgelora("adapters", "list", "--usage").out
    assert sorted(library.iterdir()) == before


def test_a_base_that_may_not_be_read_says_so(
    edgelora: Edgelora, demo_base: Path, tmp_path: Path, forbid: Callable[[Path], None]
) -> None:
    base = tmp_path / "closed" / "own.gguf"
    base.parent.mkdir()
    base.write_bytes(demo_base.read_bytes())
    assert edgelora("bases", "add", base).out == "own\n"
    forbid(base.parent)
    refused = f"{base}: cannot be read (Permission denied)"
    assert refused in edgelora("bases", "list").out
    for command in (("bases", "info", "own"), ("bases", "add", base), ("run", "Hi", "--base", "own")):
        outcome = edgelora(*command)
        assert (outcome.code, outcome.err) == (1, f"edgelora: {refused}\n")
    assert edgelora("adapters", "list", "--base", base).err == f"edgelora: {refused}\n"
