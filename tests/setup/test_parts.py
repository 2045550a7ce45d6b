"""The set-up's parts one by one: checks, install lines, lock, long commands, backend option."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bootstrap import backend, checks, packages
from bootstrap.errors import Interrupted, SetupError
from bootstrap.lock import held
from bootstrap.packages import COMPILER, CUDA, VULKAN, missing_message, venv_need
from bootstrap.process import describe, run_logged
from bootstrap.report import Report
from support.checkout import write_script

WORKING_CXX = '#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" = -o ] && : >"$2"; shift; done\n'
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a Mac asks xcode-select first")


def quiet() -> Report:
    return Report(4, io.StringIO())


@linux_only
@pytest.mark.parametrize(
    ("tools", "found"),
    [
        ({}, None),
        ({"c++": WORKING_CXX}, None),  # no C compiler
        ({"cc": "", "c++": "#!/bin/sh\nexit 1\n"}, None),  # no standard library, for example
        ({"cc": "", "c++": WORKING_CXX}, "c++"),
        ({"clang": "", "clang++": WORKING_CXX}, "clang++"),
    ],
)
def test_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: dict[str, str], found: str | None) -> None:
    for name, text in tools.items():
        write_script(tmp_path / name, text)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    assert checks.compiler() == found


@pytest.mark.parametrize(
    ("manager", "root", "line"),
    [
        ("apt-get", False, "    sudo apt-get install python3.11-venv build-essential\n"),
        ("apt-get", True, "    apt-get install python3.11-venv build-essential\n"),
        ("dnf", False, "    sudo dnf install python3-pip gcc-c++\n"),
        ("pacman", False, "    sudo pacman -S --needed python base-devel\n"),
        ("apk", True, "    apk add python3 build-base linux-headers\n"),
    ],
)
def test_one_line_installs_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: str, root: bool, line: str
) -> None:
    write_script(tmp_path / manager, "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    assert line in missing_message([venv_need("3.11"), COMPILER])


def test_a_macs_compiler_comes_from_its_own_installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_script(tmp_path / "xcode-select", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "\n    xcode-select --install\n" in missing_message([COMPILER])


def test_without_a_known_manager_the_need_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "CUDA toolkit" in missing_message([CUDA])


@pytest.mark.parametrize("need", [COMPILER, CUDA, VULKAN, venv_need("3.12")])
def test_needs_name_known_managers(need: packages.Need) -> None:
    assert set(need.packages) <= set(packages.COMMANDS)


def test_too_little_disk_states_the_need(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"needs 1000000.0 GB"):
        checks.check_disk(tmp_path, 999_999.0)


def test_missing_ensurepip_names_debians_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    (need,) = checks.missing_python_parts()
    assert need.packages["apt-get"] == f"python{checks.python_version()}-venv"


HOLDER = (
    "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True); time.sleep(60)"
)


class Waiting(io.StringIO):
    """What a report says; ``then`` is called as soon as it says that it waits for another set-up."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self._then = then
        self.was_said = False

    def write(self, text: str) -> int:
        if "at work here" in text:
            self.was_said = True
            self._then()
        return super().write(text)


def test_a_killed_holder_gives_the_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        waiting = Waiting(holder.kill)
        with held(path, Report(4, waiting)):
            assert waiting.was_said


def test_a_pip_that_outlives_its_set_up_keeps_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, quiet()) as descriptor:
        orphan = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(descriptor,))  # ends with its input
    assert orphan.stdin is not None
    waiting = Waiting(orphan.stdin.close)
    with orphan, held(path, Report(4, waiting)):
        assert waiting.was_said


def test_output_goes_to_the_log_and_comes_back(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    with held(tmp_path / "lock", quiet()) as lock:
        code, output = run_logged(["sh", "-c", "echo out; echo err >&2; exit 3"], os.environ, log, quiet(), lock)
    assert (code, output) == (3, "out\nerr\n")
    assert log.read_text().startswith("before\n")


def test_an_interruption_ends_the_command_and_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    class Impatient(Report):
        def tick(self, detail: str) -> None:
            if pid_file.exists() and pid_file.read_text().strip():
                raise Interrupted(signal.SIGTERM)

    command = ["sh", "-c", f"sleep 300 & echo $! >'{pid_file}'; wait"]
    with held(tmp_path / "lock", quiet()) as lock, pytest.raises(Interrupted):
        run_logged(command, os.environ, tmp_path / "log", Impatient(4, io.StringIO()), lock)
    child = int(pid_file.read_text())
    for _ in range(50):
        if not _runs(child):
            break
        time.sleep(0.1)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("  [37/161] /usr/bin/c++ -O3", "compiling, 37 of 161"),
        ("  [ 37%] Building CXX object", "compiling, 37 %"),
        ("Collecting textual<9,>=8.2", "fetching textual"),
        ("  Building wheel for llama-cpp-python (pyproject.toml): started", "building llama-cpp-python"),
        ("warning: unused [1/2]", None),
    ],
)
def test_progress_is_read_from_the_output(line: str, words: str | None) -> None:
    assert describe(line) == words


def test_without_a_terminal_the_report_is_plain_lines() -> None:
    words = io.StringIO()
    report = Report(4, words)
    report.step("checks")
    report.tick("again and again")
    report.done("fine")
    assert words.getvalue() == "  [1/4] checks: ...\n  [1/4] checks: fine (0:00)\n"


@pytest.mark.parametrize(
    ("arguments", "split"),
    [
        (["chat"], (None, ["chat"])),
        (["--backend", "cuda", "chat"], ("cuda", ["chat"])),
        (["--backend=vulkan", "run", "--backend"], ("vulkan", ["run", "--backend"])),
        (["--backend-x", "chat"], (None, ["--backend-x", "chat"])),
        ([], (None, [])),
    ],
)
def test_backend_option(arguments: list[str], split: tuple[str | None, list[str]]) -> None:
    assert backend.split_option(arguments) == split


@pytest.mark.parametrize("arguments", [["--backend"], ["--backend", "gpu"], ["--backend="]])
def test_wrong_backend_option(arguments: list[str]) -> None:
    with pytest.raises(SetupError) as caught:
        backend.split_option(arguments)
    assert caught.value.code == 2


@linux_only
def test_a_special_build_adds_to_the_users_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_NATIVE=off")
    assert backend.build_for("cuda").environment["CMAKE_ARGS"] == "-DGGML_NATIVE=off -DGGML_CUDA=on"
    assert backend.build_for("cpu").environment["CMAKE_ARGS"] == "-DGGML_NATIVE=off"
    assert backend.build_for("cpu").own_cache is None


@linux_only
def test_metal_is_refused_elsewhere() -> None:
    with pytest.raises(SetupError, match="macOS only"):
        backend.check_platform("metal")
