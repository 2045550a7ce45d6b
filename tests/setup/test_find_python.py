from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.checkout import ROOT, write_script

SCRIPT = ROOT / "scripts" / "bootstrap" / "find_python.sh"
OLD = "#!/bin/sh\nexit 1\n"
COMPLETE = "#!/bin/sh\nexit 0\n"
WITHOUT_VENV = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\n'


def find(tmp_path: Path, pythons: dict[str, str], tools: tuple[str, ...] = ()) -> tuple[int, str, str]:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in pythons.items():
        write_script(folder / name, text)
    for name in tools:
        write_script(folder / name, "#!/bin/sh\n")
    write_script(folder / "id", "#!/bin/sh\necho 1000\n")
    done = subprocess.run(
        ["/bin/sh", "-c", f". '{SCRIPT}'; echo $python"],
        env={**os.environ, "PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        ({"python3": COMPLETE, "python3.13": COMPLETE}, "python3"),
        ({"python3": OLD, "python3.12": COMPLETE}, "python3.12"),
        ({"python3": WITHOUT_VENV, "python3.11": COMPLETE}, "python3.11"),
        ({"python3": WITHOUT_VENV}, "python3"),  # the set-up names the missing package
    ],
)
def test_choice(tmp_path: Path, pythons: dict[str, str], chosen: str) -> None:
    assert find(tmp_path, pythons)[:2] == (0, chosen)


@pytest.mark.parametrize(
    ("pythons", "tool", "line"),
    [
        ({"python3": OLD}, "apt-get", "sudo apt-get install python3.11 python3.11-venv"),
        ({}, "apt-get", "sudo apt-get install python3 python3-venv"),
        ({}, "dnf", "sudo dnf install python3.12"),
        ({}, "pacman", "sudo pacman -S python"),
        ({}, "apk", "sudo apk add python3"),
        ({}, "brew", "    brew install python@3.13"),
    ],
)
def test_install_line(tmp_path: Path, pythons: dict[str, str], tool: str, line: str) -> None:
    code, _, err = find(tmp_path, pythons, (tool,))
    assert code == 1
    assert line in err


def test_unknown_system(tmp_path: Path) -> None:
    code, _, err = find(tmp_path, {})
    assert code == 1
    assert "package manager of this system" in err
