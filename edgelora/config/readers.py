"""What a setting may be: each reader gives the value, or raises ValueError with what it must be.

From the environment and from some options values come as text, from the file as what TOML has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from edgelora.config.sizes import n_bytes

Reader = Callable[[object], Any]


def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def path(value: object) -> Path:
    """A path as text."""
    if not isinstance(value, str | Path):
        raise ValueError("a path")
    return Path(value)


def file_or_off(value: object) -> Path | Literal[False] | None:
    """A file; ``false`` and ``off`` mean none, ``true`` and ``on`` the default."""
    word = str(value).lower()
    if word in ("true", "on"):
        return None
    return False if word in ("false", "off") else path(value)


def number(value: object) -> float:
    """Any number that is finite."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError("a number")
    return found


def whole(value: object) -> int:
    """Any whole number."""
    try:
        found = None if isinstance(value, bool | float) else int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise ValueError("a whole number")
    return int(found)


def at_least(least: int, or_auto: bool = False) -> Reader:
    """A whole number from ``least`` on; with ``or_auto`` the word ``auto`` too, which is None."""

    def read(value: object) -> int | None:
        if or_auto and value == "auto":
            return None
        found = whole(value)
        if found < least:
            raise ValueError(f"{least} or more")
        return found

    return read


def size(value: object) -> int | None:
    """An amount of memory with its unit, in bytes; ``auto`` is None."""
    return None if value == "auto" else n_bytes(str(value))


def size_above_0(value: object) -> int | None:
    """The same, but none is too little."""
    found = size(value)
    if found == 0:
        raise ValueError("more than 0")
    return found


def strings(value: object) -> tuple[str, ...]:
    """Strings; one alone stands for a list of one, and one that looks like a JSON list is that."""
    found = _json(value) if isinstance(value, str) and value.startswith("[") else value
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list | tuple) or not all(isinstance(each, str) for each in found):
        raise ValueError("a string or a list of strings")
    return tuple(found)


def table(value: object) -> dict[str, str]:
    """Strings by name; in the environment as JSON."""
    found = _json(value) if isinstance(value, str) else value
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError('a table of names and texts, such as {"adapters": "ctrl+k"}')
    return found


def _json(value: str) -> object:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return None
