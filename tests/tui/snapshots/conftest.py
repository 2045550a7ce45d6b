"""Pictures of the screen, made by the same program on the same disk for everybody."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input, TextArea

from tests.tui.snapshots.camera import Camera
from tests.tui.snapshots.stage import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = Path(__file__).parent / "kept"


@pytest.fixture(autouse=True)
def _the_same_for_everybody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr("sys.prefix", "/usr")  # no checkout, so that the first screen says plain edgelora
    for module in ("remembered", "widgets.adapter_details"):
        monkeypatch.setattr(f"edgelora.tui.{module}.time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(TextArea, "_toggle_cursor_blink_visible", lambda area: None)
    monkeypatch.setattr(Input, "_toggle_cursor", lambda input: None)
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Camera:
    """Compares what a test shows with the picture of the test's name, or keeps it (``--update``)."""
    name = request.node.name.removeprefix("test_").replace("[", "_").replace("]", "")
    return Camera(KEPT / f"{name}.svg", request.config.getoption("--update"), tmp_path)
