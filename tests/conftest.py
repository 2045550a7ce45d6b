"""Fixtures for every room: the demo base, also in F32, and adapters made for a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background, it is ignored and inherited
TOO_SLOW = [HealthCheck.too_slow]  # tests are never timed; a busy machine is no failure
settings.register_profile("edgelora", deadline=None, suppress_health_check=TOO_SLOW)
settings.load_profile("edgelora")

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=1.0, help="with -m slow: how long each test of endurance lasts")
    parser.addoption("--update", action="store_true", help="with -m snapshot: keep the pictures as they are now")


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> float:
    """How long a test of endurance lasts."""
    return 60 * float(request.config.getoption("--minutes"))


@pytest.fixture(scope="session", autouse=True)
def _no_real_history(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing that a test starts, this process or another, writes into the history of whoever runs the tests."""
    os.environ["EDGELORA_HISTORY"] = str(tmp_path_factory.mktemp("history") / "history.sqlite3")


@pytest.fixture(scope="session")
def demo_base() -> Path:
    """The demo's quantized base."""
    return ROOT / "models" / "demo.gguf"


@pytest.fixture(scope="session")
def f32_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's base in F32, where equal computations give equal numbers to about 1e-6."""
    path = tmp_path_factory.mktemp("base") / "demo-f32.gguf"
    export = [sys.executable, str(ROOT / "scripts" / "export_demo"), "--dtype", "f32", "-o", str(path)]
    subprocess.run(export, check=True, capture_output=True)
    return path
