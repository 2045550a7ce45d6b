"""The adapters that the library keeps, as one base sees them: names, versions and aliases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgelora.adapters.store.locking import Holds
from edgelora.adapters.store.manifest import Manifest
from edgelora.adapters.store.store import AdapterStore
from edgelora.errors import AdapterError, UnknownAdapterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.adapters.inspection import Inspector


class KeptAdapters:
    """What the library in ``folder`` keeps. What is used through it cannot be removed while this lives."""

    def __init__(self, folder: Path, inspector: Inspector) -> None:
        self._store, self._watched = AdapterStore(folder), AdapterStore(folder)
        self._inspector = inspector
        self._manifest: Manifest | None = None
        self._seen: dict[str, AdapterEntry] = {}  # by content, which does not change
        self._asked: dict[str, None] = {}  # aliases and versions that somebody wanted
        self._holds = Holds()

    def has_changed(self) -> bool:
        """Whether the library has changed since this was asked the last time."""
        return self._watched.has_changed()

    def is_stale(self) -> bool:
        """Whether the library has changed since it was read here."""
        return self._manifest is None or self._store.has_changed()

    def refresh(self) -> None:
        """Read the manifest again. One that is damaged while we run leaves what was known; at the start it raises."""
        try:
            self._manifest = self._store.read()
        except AdapterError:
            if self._manifest is None:
                raise

    def aliases(self) -> Mapping[str, str]:
        """All aliases, and what they mean: a name, or a version of one."""
        return self._known.aliases

    def offer(self, ref: str) -> bool:
        """List what ``ref`` means from now on too, an alias or a version. Whether there is such a thing."""
        if self._known.find(ref) is None:
            return False
        self._asked[ref] = None
        return True

    def offer_as(self, other: KeptAdapters) -> None:
        """List what ``other`` was asked to list."""
        self._asked = dict(other._asked)

    def entries(self) -> Iterator[tuple[str, AdapterEntry]]:
        """The current version of every name, and what was offered, each by what it is called."""
        for ref in (*self._known.adapters, *self._asked):
            if found := self._known.find(ref):
                yield ref, self._entry(*found)

    def report(self, entry: AdapterEntry) -> dict[str, Any] | None:
        """The report of the conversion that made it, if one did."""
        return self._store.report(entry.sha256) if entry.sha256 else None

    def hold(self, entry: AdapterEntry) -> None:
        """Let nobody remove the file of ``entry`` from now on. Raises UnknownAdapterError where it is gone already."""
        if entry.version is not None and not self._holds.hold(entry.path):
            raise UnknownAdapterError(
                f"{entry.full_name} is being removed from the library, or has been", "Choose another one."
            )

    def release(self, sha256: str) -> None:
        """Let the file of that content be removed again."""
        self._holds.release(self._store.path(sha256))

    @property
    def _known(self) -> Manifest:
        return self._manifest or Manifest()

    def _entry(self, name: str, number: int) -> AdapterEntry:
        adapter = self._known.adapters[name]
        version = adapter.versions[number]
        seen = self._seen.get(version.sha256)
        if seen is None:
            seen = self._inspector.inspect_kept(self._store.path(version.sha256), version.sha256)
            if seen.rank:  # it could be read
                self._seen[version.sha256] = seen
        exact, is_current = f"{name}@{number}", number == adapter.current
        return replace(
            seen,
            name=name if is_current else exact,
            version=number,
            aliases=self._known.aliases_of(exact, *([name] if is_current else [])),
            added=version.origin.added,
            source=version.origin.source,
            description=adapter.card.description,
            example_prompt=next(iter(adapter.card.examples), seen.example_prompt),
            sampling=adapter.card.sampling,
        )
