"""What can be done to the library: each function makes a new manifest of an old one, or says why it cannot."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from edgelora.adapters.naming import check_name
from edgelora.adapters.store.manifest import Adapter, Card, Manifest, Version
from edgelora.errors import AdapterError, UnknownAdapterError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REMEMBERED = 100
"""How many versions that were current a roll-back can go through."""


def with_version(manifest: Manifest, name: str, version: Version, card: Card) -> tuple[Manifest, int, bool]:
    """``version`` as the current one of ``name``, its number, and whether it is new.

    What ``name`` has already gets no second number: the old one becomes current again. Raises UsageError for what is
    no name, and AdapterError for an alias.
    """
    check_name(name)
    if name in manifest.aliases:
        raise AdapterError(
            f"{name!r} is an alias of {manifest.aliases[name]}",
            f"Choose another name, or remove the alias: edgelora adapters alias {name} --remove",
        )
    adapter = manifest.adapters.get(name)
    if adapter is None:
        return _with(manifest, name, Adapter({1: version}, current=1, card=card)), 1, True
    adapter = replace(adapter, card=adapter.card.updated(card))
    for number, known in adapter.versions.items():
        if known.sha256 == version.sha256:
            return _with(manifest, name, _made_current(adapter, number)), number, False
    number = adapter.following
    adapter = replace(adapter, versions={**adapter.versions, number: version}, following=number + 1)
    return _with(manifest, name, _made_current(adapter, number)), number, True


def pinned(manifest: Manifest, ref: str) -> Manifest:
    """``ref``, a name with a version, as the current one of that name. Raises UnknownAdapterError."""
    name, number = require(manifest, ref)
    return _with(manifest, name, _made_current(manifest.adapters[name], number))


def rolled_back(manifest: Manifest, ref: str) -> tuple[Manifest, int]:
    """The version current that was so before, and its number. Raises AdapterError where none was."""
    name, _ = require(manifest, ref)
    adapter = manifest.adapters[name]
    if not adapter.before:
        others = [version for version in adapter.versions if version != adapter.current]
        choose = f"choose one: edgelora adapters pin {name}@{max(others, default=0)}"
        more = choose if others else f"another one comes with: edgelora adapters add SRC --name {name}"
        raise AdapterError(
            f"nothing was current before {name}@{adapter.current} that could be gone back to",
            f"{name} has {_listed(adapter)}; {more}",
        )
    number = adapter.before[-1]
    return _with(manifest, name, replace(adapter, current=number, before=adapter.before[:-1])), number


def with_alias(manifest: Manifest, alias: str, ref: str) -> Manifest:
    """``alias`` as another name for ``ref``, a name or a version. Raises AdapterError where it is a name itself."""
    check_name(alias)
    if alias in manifest.adapters:
        raise AdapterError(f"{alias!r} is the name of an adapter itself", "Choose another alias.")
    require(manifest, ref)
    return replace(manifest, aliases={**manifest.aliases, alias: manifest.aliases.get(ref, ref)})


def without_alias(manifest: Manifest, alias: str) -> Manifest:
    """Without this alias; what it meant stays. Raises UnknownAdapterError."""
    if alias not in manifest.aliases:
        raise _unknown(alias, manifest.aliases, "alias")
    return replace(manifest, aliases={name: ref for name, ref in manifest.aliases.items() if name != alias})


def without(manifest: Manifest, ref: str) -> Manifest:
    """Without all versions of a name, or without ``NAME@VERSION``.

    Raises UnknownAdapterError, and AdapterError for the current one of several versions and for what an alias means.
    """
    if ref in manifest.aliases:
        raise AdapterError(
            f"{ref!r} is an alias of {manifest.aliases[ref]}",
            f"To remove the alias alone: edgelora adapters alias {ref} --remove",
        )
    name, number = require(manifest, ref)
    adapter = manifest.adapters[name]
    is_all = ref == name or len(adapter.versions) == 1
    meanings = [f"{name}@{number}", *([name, *(f"{name}@{other}" for other in adapter.versions)] if is_all else [])]
    if aliases := manifest.aliases_of(*meanings):
        is_one = len(aliases) == 1
        raise AdapterError(
            f"{ref} cannot be removed: {', '.join(aliases)} {'is an alias' if is_one else 'are aliases'} of it",
            f"Remove {'the alias' if is_one else 'each'} first: edgelora adapters alias {aliases[0]} --remove",
        )
    if is_all:
        return replace(manifest, adapters={key: kept for key, kept in manifest.adapters.items() if key != name})
    if number == adapter.current:
        other = max(kept for kept in adapter.versions if kept != number)
        raise AdapterError(
            f"{ref} is the current version of {name}", f"Pin another one first: edgelora adapters pin {name}@{other}"
        )
    left = {key: version for key, version in adapter.versions.items() if key != number}
    before = tuple(key for key in adapter.before if key != number)
    return _with(manifest, name, replace(adapter, versions=left, before=before))


def require(manifest: Manifest, ref: str) -> tuple[str, int]:
    """Name and version number that ``ref`` means. Raises UnknownAdapterError with what there is."""
    found = manifest.find(ref)
    if found:
        return found
    name, _, version = ref.rpartition("@")
    if adapter := manifest.adapters.get(name):
        raise UnknownAdapterError(f"{name} has no version {version}", f"It has {_listed(adapter)}.")
    if name in manifest.aliases:
        hint = hint_to_meaning(name, version, manifest.aliases[name])
        raise UnknownAdapterError(f"the library has no adapter {ref!r}", hint)
    raise _unknown(ref, {**manifest.adapters, **manifest.aliases}, "adapter")


def hint_to_meaning(alias: str, version: str, meaning: str) -> str:
    """For who asks for ``alias@version``, where ``alias`` means ``meaning``, a name or a version of one."""
    return f"{alias} is an alias of {meaning} without versions of its own: use {meaning.partition('@')[0]}@{version}."


def _unknown(ref: str, known: Mapping[str, object], kind: str) -> UnknownAdapterError:
    near = difflib.get_close_matches(ref, known, n=3, cutoff=0.5)
    first = "alias ALIAS NAME makes one" if kind == "alias" else "add SRC takes one in"
    there = f"There are: {', '.join(known)}." if known else f"There is none; edgelora adapters {first}."
    offered = f"Nearest: {', '.join(near)}." if near else there
    return UnknownAdapterError(f"the library has no {kind} {ref!r}", offered)


def _listed(adapter: Adapter) -> str:
    numbers = ", ".join(map(str, adapter.versions))
    return f"the versions {numbers}" if len(adapter.versions) > 1 else f"only version {numbers}"


def _made_current(adapter: Adapter, number: int) -> Adapter:
    if number == adapter.current:
        return adapter
    return replace(adapter, current=number, before=(*adapter.before, adapter.current)[-_REMEMBERED:])


def _with(manifest: Manifest, name: str, adapter: Adapter) -> Manifest:
    return replace(manifest, adapters={**manifest.adapters, name: adapter})
