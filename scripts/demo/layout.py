"""Where the demo's files lie, and what its adapters are called."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
BASE_SOURCE = MODELS / "source" / "base"
ADAPTER_SOURCES = MODELS / "source" / "adapters"
BASE_GGUF = MODELS / "demo.gguf"
ADAPTER_GGUFS = MODELS / "adapters"
ADAPTERS = ("chat", "coding", "legal", "medical")
