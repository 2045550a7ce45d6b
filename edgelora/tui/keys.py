"""Keys that a person has chosen in the settings file."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from edgelora.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from textual.binding import BindingType


def require_known(keys: Mapping[str, str], bindings: Iterable[BindingType]) -> None:
    """Raise ConfigError for the first name in ``keys`` that no binding has, or one without a key."""
    known = [binding.id for binding in bindings if not isinstance(binding, tuple) and binding.id]
    for name, key in keys.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            there = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
            raise ConfigError(f"[keys] in the settings file: nothing is called {name!r}", there)
        if not key.strip(" ,"):
            raise ConfigError(f"[keys] in the settings file: {name} has no key", 'Write it like "ctrl+t" or "f2".')
