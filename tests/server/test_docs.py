"""docs/server.md as a person follows it: its commands are run as they stand there."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.checkout import write_script

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE, SECTION = ROOT / "docs" / "server.md", "## From a PEFT folder to an answer"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a base and a PEFT folder, called as in the page, and its commands on the PATH."""
    (tmp_path / "ANY.gguf").symlink_to(ROOT / "models" / "demo.gguf")
    (tmp_path / "my-peft-folder").symlink_to(ROOT / "models" / "source" / "adapters" / "chat")
    write_script(tmp_path / "bin" / "edgelora", f'#!/bin/sh\nexec "{sys.executable}" -m edgelora.cli "$@"\n')
    write_script(tmp_path / "bin" / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    write_script(tmp_path / "bin" / "pip", "#!/bin/sh\n")  # the client is installed here, and a test asks no index
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    for kind in ("CONFIG", "CACHE", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    return tmp_path


def commands() -> str:
    """The first block of the section."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition(SECTION)
    found = re.search(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that a server may listen at, and that nobody else is given meanwhile: it is bound, and not listened at."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_five_commands_lead_from_a_peft_folder_to_answers(place: Path) -> None:
    with reserved_port() as port:
        script = commands().replace(":8080", f":{port}").replace("edgelora serve", f"edgelora serve --port {port}")
        done = subprocess.run(
            ["bash", "-e", "-c", f"trap 'kill %1; wait' EXIT\n{script}"],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    added, answer, *by_client = done.stdout.splitlines()
    assert added == "skill@1"
    document = json.loads(answer)
    assert document["edgelora"]["selection"] == "skill@1"
    texts = dict(line.split(maxsplit=1) for line in by_client)
    assert texts["skill"] == document["choices"][0]["message"]["content"]
    assert texts.keys() == {"base", "skill", "skill:0.5"}
    assert texts["base"] != texts["skill"]
