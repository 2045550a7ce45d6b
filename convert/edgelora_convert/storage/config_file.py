"""Reading small JSON files that came with an adapter, without trusting them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edgelora_convert.storage.signatures import LFS_POINTER, begins_with

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024
MAX_SPELLED = 40


class ConfigFileError(Exception):
    """A file that holds no JSON object. The text says what is wrong with it, beginning with its name."""


def spelled(value: object) -> str:
    """A value as its file spells it, in a few words: ``null``, ``1.5``, ``"text"``, ``a list``."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    spelling = json.dumps(value[:MAX_SPELLED] if isinstance(value, str) else value)
    return spelling if len(spelling) <= MAX_SPELLED else f"{spelling[:MAX_SPELLED]}..."


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file at ``path``. Raises ConfigFileError for anything else."""
    try:
        if begins_with(path, LFS_POINTER):
            raise ConfigFileError(f"{path.name} is only a Git LFS pointer; run `git lfs pull` first")
        if path.stat().st_size > MAX_BYTES:
            raise ConfigFileError(f"{path.name} is too large to be a configuration")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigFileError(f"{path.name} cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise ConfigFileError(f"{path.name} is not valid JSON ({error})") from None
    if not isinstance(found, dict):
        raise ConfigFileError(f"{path.name} does not hold a JSON object")
    return found
