"""Fixtures for every room: the demo base and adapters made for a test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).parent))  # so that tests share tests/support


@pytest.fixture(scope="session")
def demo_base() -> Path:
    """The demo's quantized base."""
    return ROOT / "models" / "demo.gguf"
