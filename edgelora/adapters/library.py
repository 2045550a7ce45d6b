"""The adapters a base can be used with: the library's, the demo's, those in the adapter folder, and explicit paths."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelora.adapters.convertible import is_adapter_folder
from edgelora.adapters.inspection import Inspector
from edgelora.adapters.kept import KeptAdapters
from edgelora.adapters.naming import name_from_stem
from edgelora.adapters.selection import MemberText, parse_selection
from edgelora.adapters.store.changes import hint_to_meaning
from edgelora.adapters.watching import FolderWatch
from edgelora.config import locations
from edgelora.errors import UnknownAdapterError
from edgelora.types import AdapterFile, Member, ReportProgress, Selection, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgelora.adapters.entry import AdapterEntry


class AdapterLibrary:
    """What can be selected with one base. Cheap to refresh: files are hashed once while they do not change."""

    def __init__(self, base: Path, *, folder: Path | None = None, demo: Path | None = None) -> None:
        """``folder`` and ``demo`` default to the user's adapter folder and the embedded demo's.

        Raises GGUFError where ``base`` is no base that can be read. Where the library's manifest is damaged, the first
        look at the adapters raises AdapterError.
        """
        self.folder = folder or locations.adapters_dir()
        self._demo = demo or locations.demo_adapters()
        self._inspector = Inspector(base)
        self._kept = KeptAdapters(self.folder, self._inspector)
        self._watch = FolderWatch(self.folder)
        self._explicit: list[Path] = []
        self._entries: tuple[AdapterEntry, ...] | None = None
        self._named: dict[str, AdapterEntry] = {}  # a file with the bytes of another one is the same adapter

    @property
    def entries(self) -> tuple[AdapterEntry, ...]:
        """Everything that was found: the library's, the demo's, by file name, explicit paths; names are unique."""
        return self.refresh() if self._entries is None else self._entries

    def refresh(self) -> tuple[AdapterEntry, ...]:
        """Look at the disk again."""
        self._kept.refresh()
        first: dict[str | Path, AdapterEntry] = {}
        named = {ref: first.setdefault(entry.sha256 or ref, entry) for ref, entry in self._kept.entries()}
        for entry in self._found():
            name = name_from_stem(entry.name, {*named, *self._kept.aliases()})
            named[name] = first.setdefault(entry.sha256 or entry.path, replace(entry, name=name))
        self._named, self._entries = named, tuple(first.values())
        return self._entries

    def has_changed(self) -> bool:
        """Whether library or adapter folder have changed since this was asked the last time, which is cheap.

        What is being written into the folder counts, and is listed by :meth:`refresh`, once it has stayed the same from
        one call to the next.
        """
        changes = self._watch.has_changed(), self._kept.has_changed()
        return any(changes)

    def for_base(self, base: Path) -> AdapterLibrary:
        """The same adapters, looked at with another base in mind. Raises GGUFError."""
        library = AdapterLibrary(base, folder=self.folder, demo=self._demo)
        library._explicit = list(self._explicit)
        library._kept.offer_as(self._kept)
        return library

    def add(self, path: Path) -> AdapterEntry:
        """Offer the adapter at ``path`` too, in any form. Raises AdapterError where nothing is there."""
        path = self._inspector.locate(path)
        if path not in self._explicit:
            self._explicit.append(path)
        entry = self._inspector.inspect(path)
        known = {entry.path: entry for entry in self.refresh()}
        # the same bytes under another path are listed once, by the name they had first
        return known.get(path) or next(other for other in known.values() if other.sha256 == entry.sha256)

    def by_hash(self, sha256: str) -> AdapterEntry | None:
        """The entry of the adapter with this content hash, if it is in the library."""
        return next((entry for entry in self.entries if entry.sha256 == sha256), None)

    def resolve(self, text: str, report: ReportProgress = ignore_progress) -> tuple[Selection, tuple[AdapterFile, ...]]:
        """The selection that ``text`` means, and the files of its adapters, in the order of ``text``.

        What is no GGUF is converted on the way, with progress. A name means the version that is current at this moment;
        the files of the library are not removed while this lives. Raises UsageError for text that is no selection,
        UnknownAdapterError for a name nobody has, and what is wrong with an adapter that cannot be used.
        """
        members = parse_selection(text)
        if members and self._kept.is_stale():
            self.refresh()
        entries = [self._entry(member) for member in members]
        for entry in entries:
            self._kept.hold(entry)
        files = [self._inspector.file(entry, report) for entry in entries]
        if any(entry.sha256 is None for entry in entries):  # converted just now
            self.refresh()
        selection = Selection.of(Member(file.sha256, member.scale) for file, member in zip(files, members, strict=True))
        return selection, tuple(file for file in files if file.sha256 in selection.adapters)

    def report(self, name: str) -> dict[str, Any] | None:
        """The report of its conversion (ConversionReport.to_dict), if edgelora made one. Raises UnknownAdapterError."""
        entry = self.named(name)
        return self._kept.report(entry) if entry.version else self._inspector.report(entry.path)

    def named(self, name: str) -> AdapterEntry:
        """The entry of this name, alias or ``NAME@VERSION``, be it usable or not. Raises UnknownAdapterError."""
        if name not in self._named:
            self.refresh()  # it may have been put there since
        if name not in self._named and self._kept.offer(name):
            self.refresh()
        if name in self._named:
            return self._named[name]
        raise self._unknown(name)

    def _entry(self, member: MemberText) -> AdapterEntry:
        return self.add(Path(member.ref)) if member.is_path else self.named(member.ref)

    def release(self, sha256: str) -> None:
        """Let a file of the library be removed again that :meth:`resolve` has given out and nobody uses any more."""
        self._kept.release(sha256)

    def _unknown(self, name: str) -> UnknownAdapterError:
        plain, at, version = name.partition("@")
        if at and (meaning := self._kept.aliases().get(plain)):
            return UnknownAdapterError(f"no adapter is called {name!r}", hint_to_meaning(plain, version, meaning))
        if at and plain in self._named:
            kept = self._named[plain].version is not None
            hint = (
                f"edgelora adapters info {plain} lists them."
                if kept
                else f"Only the library has versions: use {plain}."
            )
            return UnknownAdapterError(f"{plain} has no such version: {name!r}", hint)
        names = [entry.name for entry in self.entries]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        offered = f"Nearest: {', '.join(near)}." if near else f"There are: {', '.join(names) or 'none'}."
        path = f"for what is here write ./{name}" if os.path.exists(name) else f"give a path: ./{name}.gguf"
        return UnknownAdapterError(
            f"no adapter is called {name!r}",
            f"{offered} Put GGUF adapters and PEFT or MLX folders into {self.folder}, or {path}.",
        )

    def _found(self) -> Iterator[AdapterEntry]:
        for path in sorted(self._demo.glob("*.gguf")):
            entry = self._inspector.inspect(path)
            if entry.usable:
                yield entry
        for path in sorted(self.folder.glob("[!.]*")):
            if path not in self._watch.unsettled and (path.suffix.lower() == ".gguf" or is_adapter_folder(path)):
                yield self._inspector.inspect(path)
        yield from map(self._inspector.inspect, self._explicit)
