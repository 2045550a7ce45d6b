"""Bases get names: added by path, without copying, and offered from where other programs keep theirs."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgelora.adapters.naming import check_name, name_from_stem
from edgelora.adapters.store.locking import locked
from edgelora.config import locations
from edgelora.config.known_bases import DEMO, KnownBase, known_bases
from edgelora.errors import ConfigError, GGUFError, UsageError
from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.hashes import fingerprint
from edgelora.gguf.replacing import replacing
from edgelora.gguf.split import read_joined, stem_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def read_base(path: Path) -> BaseFacts:
    """What is known of the base at ``path``, also a split one. Raises GGUFError where it is none."""
    return BaseFacts.of(read_joined(path))


def check_base_name(name: str) -> None:
    """Raise UsageError where no base can be called ``name``."""
    if check_name(name, "base") == DEMO:
        raise UsageError(f"{DEMO!r} is the embedded demo's base", "Choose another name.")


def add_base(path: Path, name: str | None = None) -> KnownBase:
    """Let ``name``, or one made of the file's, mean the base at ``path`` from now on.

    A file that has a name keeps it unless another is given. Raises GGUFError where it is no base, UsageError for what
    cannot be a name.
    """
    path = locations.expanded(path).absolute()  # of a link in the hub's cache the name says what it is
    path = read_base(path).path  # says what it is instead, where it is no base
    if name is not None:
        check_base_name(name)
    with _changing() as bases:
        same = [base.name for base in bases.values() if base.path == path]
        chosen = name or next(iter(same), None) or name_from_stem(stem_of(path), {DEMO, *bases})
        added = KnownBase(chosen, path, fingerprint(path), time.time())
        _write({**bases, chosen: added})
    return added


def remove_base(name: str) -> KnownBase:
    """Forget a name; the file stays where it is. Raises ConfigError where there is no such name."""
    if name == DEMO:
        raise ConfigError(f"{DEMO!r} is the embedded demo's base", "It comes with edgelora, and keeps its name.")
    with _changing() as bases:
        if name not in bases:
            there = (
                f"There are: {', '.join(bases)}." if bases else "None has one yet; edgelora bases add FILE gives one."
            )
            raise ConfigError(f"no base is called {name!r}", there)
        removed = bases[name]
        _write({other: base for other, base in bases.items() if other != name})
    return removed


@contextmanager
def _changing() -> Iterator[dict[str, KnownBase]]:
    path = locations.bases_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            yield known_bases()
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None


def _write(bases: Mapping[str, KnownBase]) -> None:
    listed = {name: asdict(base) | {"path": str(base.path)} for name, base in bases.items()}
    with replacing(locations.bases_file()) as temporary:
        temporary.write_text(json.dumps({"bases": listed}, indent=1) + "\n", encoding="utf-8")


def usable_bases() -> Iterator[tuple[str, BaseFacts]]:
    """The demo's base and all that have names and can be read, by name."""
    places = {DEMO: locations.demo_base()} | {name: base.path for name, base in known_bases().items()}
    for name, path in places.items():
        try:
            yield name, read_base(path)
        except GGUFError:
            continue
