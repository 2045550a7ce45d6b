"""Bases by name: which files on this machine a person wants to call what. Only the reading; no file is copied."""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from edgelora.config import locations
from edgelora.errors import ConfigError

DEMO = "demo"
"""The embedded demo's base, which always has this name."""


@dataclass(frozen=True, slots=True)
class KnownBase:
    """A base: the absolute path of its GGUF (the first part of a split one), its fingerprint when it was added, and
    when that was, in seconds since 1970."""

    name: str
    path: Path
    fingerprint: str
    added: float


def known_bases() -> dict[str, KnownBase]:
    """The bases that have names, by name, without the demo's. Raises ConfigError where their list is damaged."""
    path = locations.bases_file()
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["bases"]
        return {
            name: KnownBase(name, Path(base["path"]), str(base["fingerprint"]), float(base["added"]))
            for name, base in listed.items()
        }
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is damaged ({type(error).__name__}: {error}); no base is lost, it holds their names only",
            "Move it away, and add the bases again: edgelora bases add FILE",
        ) from None


def named_base(text: str) -> Path:
    """The file of the base that ``text`` means, a path or a name. Raises ConfigError with what there is."""
    path = locations.expanded(text)
    if os.path.isfile(path):  # no error where it is too long for a path
        return path
    if text == DEMO:
        return locations.demo_base()
    is_folder = os.path.isdir(path)
    known = {} if is_folder else known_bases()
    if text in known:
        return _there(known[text])
    what = f"{path} is a folder, not a base" if is_folder else f"there is no base at {path}, and none of that name"
    if not is_folder and not locations.is_missing(path):
        return path  # who reads it says what is wrong with it
    near = difflib.get_close_matches(text, [DEMO, *known], n=3, cutoff=0.5)
    names = f"Nearest: {', '.join(near)}." if near else "edgelora bases list shows the names."
    raise ConfigError(what, f"--base takes the path of a GGUF file, or a name. {names}")


def _there(base: KnownBase) -> Path:
    if locations.is_missing(base.path):
        raise ConfigError(
            f"the base {base.name} is not at {base.path} any more",
            f"Say where it is now: edgelora bases add FILE --name {base.name}",
        )
    return base.path
