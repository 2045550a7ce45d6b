from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import pytest

from edgelora.cli.boundary import guarded
from edgelora.cli.root import root

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


class Edgelora(Protocol):
    def __call__(self, *arguments: object) -> Outcome: ...


@pytest.fixture
def edgelora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Edgelora:
    """The command line in this process, with folders of its own and the engine in a thread."""
    from edgelora.engine.client import open_engine

    for kind in ("CONFIG", "CACHE", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("EDGELORA_THREADS", "1")
    monkeypatch.setattr("edgelora.cli.answer.open_engine", partial(open_engine, in_process=True))

    def call(*arguments: object) -> Outcome:
        code = guarded(root, list(map(str, arguments)))
        return Outcome(code, *capfd.readouterr())

    return call
