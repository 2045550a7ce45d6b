"""scripts/edgelora as a person starts it: the short way through the shell, and the way through the set-up."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from bootstrap.environment import TARGETS, Environment, Settings
from bootstrap.setup import path_hint
from support.checkout import Checkout, write_script


@pytest.fixture
def made(checkout: Checkout) -> Checkout:
    """The checkout with a finished environment whose edgelora repeats its arguments."""
    environment = Environment(checkout.root, ".venv")
    environment.claim()
    environment.begin(Settings("cpu"))
    write_script(environment.python, "#!/bin/sh\nexit 0\n")
    write_script(environment.command, '#!/bin/sh\nprintf "<%s>" "$@"\n')
    environment.finish()
    return checkout


@pytest.fixture
def no_python(tmp_path: Path) -> str:
    """A PATH on which every Python fails: what works there has started none."""
    folder = tmp_path / "no python"
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        write_script(folder / name, "#!/bin/sh\nexit 99\n")
    return f"{folder}:/usr/bin:/bin"


def start(command: Path | str, *arguments: str, path: str | None = None, cwd: str = "/") -> tuple[int, str, str]:
    environment = {**os.environ, **({"PATH": path} if path else {})}
    done = subprocess.run(
        [command, *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_later_start_is_only_the_command(made: Checkout, no_python: str) -> None:
    assert start(made.command, "run", "two words", "", path=no_python) == (0, "<run><two words><>", "")


@pytest.mark.parametrize("absolute", [True, False])
def test_through_a_symlink(made: Checkout, no_python: str, tmp_path: Path, absolute: bool) -> None:
    link = tmp_path / "bin here" / "edgelora"
    link.parent.mkdir()
    link.symlink_to(made.command if absolute else os.path.relpath(made.command, link.parent))
    second = link.with_name("second")
    second.symlink_to("edgelora")
    assert start(second, "x", path=no_python) == (0, "<x>", "")
    assert start("edgelora", "y", path=f"{link.parent}:{no_python}") == (0, "<y>", "")


def test_from_its_own_folder(made: Checkout, no_python: str) -> None:
    assert start("sh", "edgelora", "x", path=no_python, cwd=str(made.command.parent)) == (0, "<x>", "")


def test_a_linked_scripts_folder(made: Checkout, no_python: str, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(made.command.parent)
    assert start(tmp_path / "linked" / "edgelora", "x", path=no_python) == (0, "<x>", "")


@pytest.mark.parametrize("home", ["home", "one's own home"])
def test_the_suggested_link_works(
    made: Checkout, no_python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / home))
    line = path_hint(made.command)
    subprocess.run(["sh", "-c", line[line.index("mkdir") :]], check=True)
    assert start(tmp_path / home / ".local" / "bin" / "edgelora", "x", path=no_python)[1] == "<x>"


@pytest.mark.parametrize("arguments", [("--backend", "cpu", "run"), ("--backend=cpu", "run")])
def test_the_recorded_backend_starts_at_once(made: Checkout, arguments: tuple[str, ...]) -> None:
    assert start(made.command, *arguments, "a b") == (0, "<run><a b>", "")


def test_an_unknown_backend_is_wrong_usage(made: Checkout) -> None:
    code, out, err = start(made.command, "--backend", "opencl", "run")
    assert (code, out) == (2, "")
    assert "cpu, cuda, metal, vulkan" in err


def test_backend_belongs_to_the_front_only(made: Checkout, no_python: str) -> None:
    assert start(made.command, "run", "--backend", "x", path=no_python)[1] == "<run><--backend><x>"


@pytest.mark.parametrize("change", ["pyproject", "callback", "python", "moved"])
def test_a_start_that_needs_the_set_up_asks_for_python(
    made: Checkout, no_python: str, tmp_path: Path, change: str
) -> None:
    if change == "pyproject":
        (made.root / "pyproject.toml").write_text("[project]\n")
    elif change == "callback":
        (made.root / "edgelora" / "native" / "mask_callback.c").write_text("int changed;\n")
    elif change == "python":
        (made.root / ".venv" / "bin" / "python").unlink()
    else:
        made.root = made.root.rename(tmp_path / "elsewhere")
    code, out, err = start(made.command, "run", path=no_python)
    assert (code, out) == (1, "")
    assert "Python 3.11" in err


def test_set_up_words_go_to_stderr(checkout: Checkout) -> None:
    (checkout.root / ".venv").mkdir()
    (checkout.root / ".venv" / "foreign").touch()
    code, out, err = start(checkout.command, "run", "--json")
    assert (code, out) == (1, "")
    assert "not made by edgelora" in err


def test_a_file_in_the_way_is_one_message(checkout: Checkout) -> None:
    (checkout.root / ".venv").touch()
    code, _, err = start(checkout.command, "run")
    assert code == 1
    assert ".venv" in err
    assert "Traceback" not in err


def test_targets_lie_in_the_documented_folders() -> None:
    assert {name: target.name for name, target in TARGETS.items()} == {
        "edgelora": ".venv",
        "test": ".venv",
        "train": ".venv-train",
    }
