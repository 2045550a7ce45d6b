"""The library that the commands work on."""

from __future__ import annotations

from edgelora.adapters.store.store import AdapterStore
from edgelora.config import locations


def open_store() -> AdapterStore:
    """The library in the user's adapter folder."""
    return AdapterStore(locations.adapters_dir())
