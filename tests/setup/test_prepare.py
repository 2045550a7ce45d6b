from __future__ import annotations

import io
import json
import sys
import threading
from pathlib import Path

import pytest
from bootstrap import backend, checks
from bootstrap.environment import TARGETS, Environment
from bootstrap.errors import SetupError
from bootstrap.report import Report
from bootstrap.setup import prepare
from bootstrap.steps import STEPS
from support.checkout import Checkout

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the backends' rules differ on a Mac")


@pytest.fixture(autouse=True)
def working_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "compiler", lambda: "c++")
    monkeypatch.setattr(backend, "missing_tools", lambda _name: [])


def run(checkout: Checkout, target: str = "edgelora", asked: str | None = None) -> str:
    words = io.StringIO()
    prepare(checkout.root, TARGETS[target], asked, Report(STEPS, words))
    return words.getvalue()


def settings(checkout: Checkout, name: str = ".venv") -> dict[str, object]:
    return json.loads((checkout.root / name / "edgelora-setup" / "settings.json").read_text())


def test_first_set_up_then_nothing_to_do(checkout: Checkout) -> None:
    words = run(checkout)
    kinds = [call.split()[:4] for call in checkout.calls()]
    assert kinds[0][:2] == ["-m", "venv"]
    assert [kind[3] for kind in kinds[1:]] == ["download", "install", "install"]
    assert "[4/4] the other packages: installed" in words
    assert str(checkout.command) in words.splitlines()[-1]
    assert run(checkout) == ""
    assert checkout.calls() == []


@pytest.mark.parametrize("broken_off_at", ["pip download", "pip install*--no-deps", "pip install*--editable"])
def test_a_broken_off_set_up_is_made_anew(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, broken_off_at: str
) -> None:
    monkeypatch.setenv("STUB_FAIL", broken_off_at)
    with pytest.raises(SetupError, match="stub refuses"):
        run(checkout)
    half_installed = checkout.root / ".venv" / "lib" / "half.py"
    half_installed.parent.mkdir(exist_ok=True)
    half_installed.touch()
    monkeypatch.setenv("STUB_FAIL", "")
    run(checkout)
    assert not half_installed.exists()
    assert run(checkout) == ""


def test_changed_dependencies_update_the_environment_in_place(checkout: Checkout) -> None:
    run(checkout)
    checkout.calls()
    kept = checkout.root / ".venv" / "kept"
    kept.touch()
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("# another dependency\n")
    assert "up to date" in run(checkout)
    assert kept.exists()
    assert not any("-m venv" in call for call in checkout.calls())


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    run(checkout)
    checkout.calls()
    python = checkout.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    run(checkout)
    assert "-m venv" in checkout.calls()[0]


def test_a_moved_checkout_is_set_up_anew(checkout: Checkout, tmp_path: Path) -> None:
    run(checkout)
    checkout.calls()
    checkout.root = checkout.root.rename(tmp_path / "elsewhere")
    run(checkout)
    assert any(f"--editable {checkout.root}" in call for call in checkout.calls())


def test_extras_add_up(checkout: Checkout) -> None:
    run(checkout, "test")
    assert any(
        "--editable" in call and call.endswith("[test] --no-input --disable-pip-version-check")
        for call in checkout.calls()
    )
    assert run(checkout) == ""
    assert settings(checkout)["extras"] == ["test"]


def test_the_second_environment_follows_the_first_ones_backend(checkout: Checkout) -> None:
    run(checkout, asked="vulkan")
    run(checkout, "train")
    assert settings(checkout, ".venv-train") == {"backend": "vulkan", "extras": ["test", "train"]}


def test_the_backend_is_recorded_and_a_change_rebuilds(checkout: Checkout) -> None:
    run(checkout)
    checkout.calls()
    run(checkout, asked="vulkan")
    builds = [call for call in checkout.calls() if "pip install" in call and "--no-deps" in call]
    # The stub's first wheel lacks the backend's library, so the build from source is forced.
    assert ["--no-binary" in call for call in builds] == [False, True]
    assert all("--force-reinstall" in call and "--cache-dir /stub/cache/edgelora-vulkan" in call for call in builds)
    assert settings(checkout)["backend"] == "vulkan"
    assert run(checkout) == ""
    run(checkout, asked="cpu")
    assert settings(checkout)["backend"] == "cpu"


def test_without_a_compiler_a_reachable_wheel_is_enough(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "compiler", lambda: None)
    run(checkout)
    assert any("--only-binary" in call for call in checkout.calls())


def test_without_compiler_and_wheel_the_install_line_is_named(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "compiler", lambda: None)
    monkeypatch.setenv("STUB_FAIL", "--only-binary")
    with pytest.raises(SetupError, match=r"C\+\+ compiler"):
        run(checkout)
    assert not any("pip install" in call for call in checkout.calls())


def test_an_unreachable_index_is_told_before_anything_is_installed(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", "pip download")
    with pytest.raises(SetupError, match="pip config set global"):
        run(checkout)
    assert not any("pip install" in call for call in checkout.calls())


def test_a_failing_pip_shows_the_end_of_the_log(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_FAIL", "--editable")
    with pytest.raises(SetupError) as caught:
        run(checkout)
    log = checkout.root / ".venv" / "edgelora-setup" / "log.txt"
    assert str(log) in str(caught.value)
    assert "ERROR: stub refuses" in str(caught.value)
    assert "ERROR: stub refuses" in log.read_text()


def test_an_environment_of_somebody_else_is_left_alone(checkout: Checkout) -> None:
    foreign = checkout.root / ".venv" / "pyvenv.cfg"
    foreign.parent.mkdir()
    foreign.touch()
    with pytest.raises(SetupError, match="not made by edgelora"):
        run(checkout)
    assert foreign.exists()


def test_two_first_starts_at_once_make_one_environment(checkout: Checkout) -> None:
    starts = [threading.Thread(target=run, args=(checkout,)) for _ in range(2)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    calls = checkout.calls()
    assert sum("-m venv" in call for call in calls) == 1
    assert sum("--editable" in call for call in calls) == 1


def test_a_set_up_is_made_for_the_wanted_environment_only(checkout: Checkout) -> None:
    run(checkout)
    assert Environment(checkout.root, ".venv").settings() is not None
    assert not (checkout.root / ".venv-train").exists()
