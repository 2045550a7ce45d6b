"""Adapters that can be used without being in the library: the demo's, and those in the adapter folder."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgelora.errors import AdapterError, EdgeloraError, UnknownAdapterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgelora.adapters.entry import AdapterEntry


def beside(name: str) -> AdapterEntry | None:
    """What selections with the usual base call ``name`` and the library does not keep; None where there is none."""
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.config.resolved import base_path
    from edgelora.config.settings import load_settings

    try:
        entry = AdapterLibrary(base_path(load_settings({}))).named(name)
    except EdgeloraError:  # what the library says about the name is nearer to what was asked
        return None
    return entry if entry.version is None else None


def what_it_is(entry: AdapterEntry) -> str:
    """``legal is an adapter of the demo, not of the library``."""
    of = "the demo" if _is_of_the_demo(entry) else f"the folder {entry.path.parent}"
    return f"{entry.name} is an adapter of {of}, not of the library"


@contextmanager
def only_in_the_library(ref: str, *, removing: bool = False) -> Iterator[None]:
    """Within the block ``ref`` must be in the library: AdapterError says where else it is, and what can be done."""
    try:
        yield
    except UnknownAdapterError:
        entry = beside(ref.partition("@")[0])
        if entry is None:
            raise
        raise elsewhere(entry, removing=removing) from None


def elsewhere(entry: AdapterEntry, *, removing: bool = False) -> AdapterError:
    """What to say to who wants of ``entry`` what only the library can do, or to remove it from there."""
    return AdapterError(what_it_is(entry), _removed(entry) if removing else _taken_in(entry))


def _removed(entry: AdapterEntry) -> str:
    if _is_of_the_demo(entry):
        return "It comes with edgelora and stays; what was added can be removed."
    return f"It goes with its file: rm {'-r ' if entry.path.is_dir() else ''}{shlex.quote(str(entry.path))}"


def _taken_in(entry: AdapterEntry) -> str:
    path = shlex.quote(str(entry.path))
    return f"Versions and aliases are the library's; this takes it in: edgelora adapters add {path}"


def _is_of_the_demo(entry: AdapterEntry) -> bool:
    from edgelora.config import locations

    return entry.path.parent == locations.demo_adapters()
