"""What the wheel carries, what starting up imports, and that the import contracts know every room."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support import callbacks
from support.checkout import ROOT

HEAVY = {"llama_cpp", "textual", "numpy", "pydantic"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_carries_both_packages_whole(wheel_names: set[str]) -> None:
    for base, package in ((ROOT, "edgelora"), (ROOT / "convert", "edgelora_convert")):
        files = {path for path in (base / package).rglob("*") if path.is_file() and path.suffix != ".pyc"}
        assert {str(path.relative_to(base)) for path in files} <= wheel_names
        assert f"{package}/py.typed" in wheel_names


def test_the_wheel_carries_the_demo_and_nothing_else_of_it(wheel_names: set[str]) -> None:
    models = {name for name in wheel_names if name.startswith("edgelora/models/")}
    adapters = {f"edgelora/models/adapters/{name}.gguf" for name in ("chat", "coding", "legal", "medical")}
    assert models == {"edgelora/models/demo.gguf", "edgelora/models/README.md", *adapters}


def test_the_wheel_carries_no_tests_and_scripts(wheel_names: set[str]) -> None:
    assert {name.split("/")[0].split("-")[0] for name in wheel_names} == {"edgelora", "edgelora_convert"}


def test_the_wheel_carries_the_native_callback_where_there_is_a_compiler(wheel_names: set[str]) -> None:
    if callbacks.built() is None:
        pytest.skip("no C compiler")
    assert {"edgelora/native/mask_callback.c", "edgelora/native/libmask_callback.so"} <= wheel_names


def test_a_compiler_that_does_not_work_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    assert callbacks.hook().build(ROOT / "edgelora" / "native", tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_the_wheel_carries_the_licence(wheel_names: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_names)


HELP = """
import json, sys
sys.argv = ["edgelora", "--help"]
from edgelora.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
print()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_help_starts_without_the_heavy_packages() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "Usage" in done.stdout
    assert not HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def rooms() -> set[str]:
    package = ROOT / "edgelora"
    files = {f"edgelora.{path.stem}" for path in package.glob("*.py") if path.stem != "__init__"}
    folders = {f"edgelora.{path.parent.name}" for path in package.glob("*/__init__.py")}
    return files | folders | {"edgelora_convert"}


def contract(project: dict[str, Any], forbidden: str) -> dict[str, Any]:
    contracts = project["tool"]["importlinter"]["contracts"]
    return next(c for c in contracts if c["type"] == "forbidden" and c["forbidden_modules"] == [forbidden])


def test_every_room_has_its_layer(project: dict[str, Any]) -> None:
    layers = next(c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers")["layers"]
    named = [room.strip() for layer in layers for room in layer.split("|")]
    assert sorted(named) == sorted(rooms())


@pytest.mark.parametrize(
    ("library", "allowed"),
    [("llama_cpp", {"edgelora.native", "edgelora.engine"}), ("textual", {"edgelora.tui"})],
)
def test_every_other_room_is_forbidden_the_library(project: dict[str, Any], library: str, allowed: set[str]) -> None:
    # cli imports tui, and the contract is about direct imports, so it is listed like every other room.
    assert set(contract(project, library)["source_modules"]) == rooms() - allowed


def test_the_set_up_needs_the_standard_library_only() -> None:
    for path in (ROOT / "scripts" / "bootstrap").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names | {"bootstrap"}, path


@pytest.mark.parametrize("script", ["scripts/edgelora", "scripts/test", "scripts/bootstrap/find_python.sh", ".ci/run"])
def test_shell_syntax(script: str) -> None:
    text = (ROOT / script).read_text(encoding="utf-8")
    shell = "bash" if text.startswith("#!/usr/bin/env bash") else "sh"
    subprocess.run([shell, "-n", ROOT / script], check=True)
    if shell == "sh":
        bashisms = ("[[", "function ", "<<<", "readlink -f", "local ", "source ", "&>", "pipefail", "==")
        code = [line for line in text.splitlines() if not line.lstrip().startswith(("#", "printf"))]
        assert not [(line, word) for line in code for word in bashisms if word in line]
