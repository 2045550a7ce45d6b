"""Every path on disk that edgelora reads or writes by itself."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

import edgelora

APP = "edgelora"


def expanded(text: str | Path) -> Path:
    """The path with ``~`` as the shell reads it; where there is no such user it stays as it is."""
    return Path(os.path.expanduser(text))


def is_missing(path: Path) -> bool:
    """Whether nothing is at ``path``. What nobody may look at is not missing: who reads it says why that fails."""
    try:
        path.stat()
    except PermissionError:
        return False
    except (OSError, ValueError):  # too long for a path; a null byte
        return True
    return False


def models_dir() -> Path:
    """The embedded demo's folder: inside the package in a wheel, beside it in a checkout."""
    package = Path(edgelora.__file__).parent
    inside, beside = package / "models", package.parent / "models"
    return beside if beside.is_dir() and not inside.is_dir() else inside


def demo_base() -> Path:
    """The quantized base of the embedded demo."""
    return models_dir() / "demo.gguf"


def demo_adapters() -> Path:
    """The folder of the embedded demo's adapters."""
    return models_dir() / "adapters"


def adapters_dir() -> Path:
    """The user's adapter folder, EDGELORA_ADAPTERS or in the user's data folder. It need not exist."""
    chosen = os.environ.get("EDGELORA_ADAPTERS")
    return expanded(chosen) if chosen else platformdirs.user_data_path(APP, appauthor=False) / "adapters"


def bases_file() -> Path:
    """The names of bases. It need not exist."""
    return platformdirs.user_data_path(APP, appauthor=False) / "bases.json"


def converted_dir() -> Path:
    """Adapters that were converted on the way, by content hash; safe to delete."""
    return platformdirs.user_cache_path(APP, appauthor=False) / "converted"


def baked_dir() -> Path:
    """Bases with adapters baked in, as large as the bases they were made of; safe to delete."""
    return platformdirs.user_cache_path(APP, appauthor=False) / "baked"


def history_file() -> Path:
    """The chat's conversations, unless a setting names another file. It need not exist."""
    return platformdirs.user_data_path(APP, appauthor=False) / "history.sqlite3"


def chat_state_file() -> Path:
    """What the chat remembers between runs, EDGELORA_CHAT_STATE or in the user's state folder. It need not exist."""
    chosen = os.environ.get("EDGELORA_CHAT_STATE")
    return expanded(chosen) if chosen else platformdirs.user_state_path(APP, appauthor=False) / "chat.json"


def config_file() -> Path:
    """The settings file. It need not exist."""
    return platformdirs.user_config_path(APP, appauthor=False) / "config.toml"


def log_dir() -> Path:
    """Where tracebacks of internal errors go."""
    return platformdirs.user_log_path(APP, appauthor=False)
