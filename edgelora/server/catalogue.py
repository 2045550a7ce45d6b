"""The adapters that requests can name, looked up beside the event loop and numbered as llama-server numbers them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgelora.adapters.inspection import Inspector
from edgelora.adapters.selection import MemberText, format_selection, parse_selection
from edgelora.chat.resolved import ResolvedSelection, resolve
from edgelora.errors import AdapterError, UnknownAdapterError
from edgelora.types import AdapterFile, Member, Selection, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.adapters.library import AdapterLibrary

MOST_KEPT = 1024
"""Selections whose meaning is remembered until the library changes."""
IDLE_S = 5.0
"""So long after a selection was asked for last, the library may remove its files again."""


class Catalogue:
    """The library for many requests at once, and adapters that were added while the server runs.

    Adapters keep their number as long as it runs.
    """

    def __init__(self, library: AdapterLibrary, base: Path) -> None:
        self._library, self._base = library, base
        self._lock = asyncio.Lock()
        self._known: dict[str, ResolvedSelection] = {}
        self.changes = 0  # of what names mean
        self._numbers: dict[str, int] = {}  # by name
        self._added: dict[str, tuple[AdapterEntry, AdapterFile]] = {}
        self._asked: dict[
            str, float
        ] = {}  # content hashes that the library holds for us, and when they were wanted last

    async def resolve(self, text: str) -> ResolvedSelection:
        """What ``text`` means now. Raises what the library raises; may convert, which takes seconds."""
        resolved = await self._resolved(text)
        self._asked |= dict.fromkeys(resolved.selection.adapters, time.monotonic())
        return resolved

    async def _resolved(self, text: str) -> ResolvedSelection:
        if text in self._known:
            return self._known[text]
        async with self._lock:
            resolved = await asyncio.to_thread(self._resolve, text)
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known[text] = resolved
        return resolved

    async def entries(self) -> tuple[AdapterEntry, ...]:
        """All that can be used with the base."""
        async with self._lock:
            entries = await asyncio.to_thread(lambda: self._library.entries)
        added = tuple(entry for entry, _ in self._added.values())
        return (*(entry for entry in entries if entry.usable and entry.name not in self._added), *added)

    async def refresh(self, in_use: Collection[str]) -> None:
        """Take note of what has changed on disk. Running answers keep what they began with.

        Files of the library that are not ``in_use``, and were not wanted for a while, may be removed from now on.
        """
        async with self._lock:
            before = time.monotonic() - IDLE_S
            idle = [one for one, asked in self._asked.items() if asked < before and one not in in_use]
            for sha256 in idle:
                self._known = {text: one for text, one in self._known.items() if sha256 not in one.selection.adapters}
                del self._asked[sha256]
                await asyncio.to_thread(self._library.release, sha256)
            if await asyncio.to_thread(self._library.has_changed):
                await asyncio.to_thread(self._library.refresh)
                self._forget()

    # --- by number

    async def numbered(self) -> dict[int, AdapterEntry]:
        """Adapters by llama-server's ids: in the order in which they were first seen."""
        found = {}
        for entry in await self.entries():
            found[self._numbers.setdefault(entry.name, len(self._numbers))] = entry
        return dict(sorted(found.items()))

    async def by_numbers(self, scales: Mapping[int, float]) -> str:
        """The text of the selection that llama-server's ``lora`` means. Raises UnknownAdapterError."""
        entries = await self.numbered()
        for number in scales:
            if number not in entries:
                raise UnknownAdapterError(f"there is no adapter with the id {number}", "GET /lora-adapters lists them.")
        return format_selection([MemberText(entries[number].name, scale) for number, scale in scales.items() if scale])

    # --- added while it runs

    async def inspected(self, name: str, path: Path) -> tuple[AdapterEntry, AdapterFile]:
        """The adapter at ``path`` under ``name``, converted if need be. Raises what is wrong with it."""
        return await asyncio.to_thread(self._inspected, name, path)

    async def require_free(self, name: str) -> None:
        """Raise AdapterError where ``name`` is somebody's already."""
        if name in self._added or any(entry.name == name for entry in await self.entries()):
            raise AdapterError(f"there is an adapter {name!r} already", "Unload it first, or give load_inplace.")

    def add(self, entry: AdapterEntry, file: AdapterFile) -> None:
        """Offer it under its name from now on."""
        self._added[entry.name] = entry, file
        self._forget()

    def remove(self, name: str) -> bool:
        """Offer it no longer. False where it was not added."""
        self._forget()
        return self._added.pop(name, None) is not None

    def _forget(self) -> None:
        self._known.clear()
        self.changes += 1

    # --- in a thread

    def _inspected(self, name: str, path: Path) -> tuple[AdapterEntry, AdapterFile]:
        inspector = Inspector(self._base)
        entry = inspector.inspect(path)
        file = replace(inspector.file(entry, ignore_progress), name=name)
        return replace(inspector.inspect(path), name=name, sha256=file.sha256), file

    def _resolve(self, text: str) -> ResolvedSelection:
        members = parse_selection(text)
        if not any(member.ref in self._added for member in members):
            return resolve(self._library, text)
        parts = [self._part(member) for member in members]
        scaled = (Member(part.files[0].sha256, member.scale) for part, member in zip(parts, members, strict=True))
        selection = Selection.of(scaled)
        parts = [part for part in parts if part.files[0].sha256 in selection.adapters]
        return ResolvedSelection(
            selection,
            tuple(file for part in parts for file in part.files),
            tuple(text for part in parts for text in part.templates),
            tuple(dict.fromkeys(token for part in parts for token in part.end_tokens)),
            tuple(text for part in parts for text in part.system_prompts),
            parts[0].sampling if len(parts) == 1 else {},
        )

    def _part(self, member: MemberText) -> ResolvedSelection:
        """One member at scale 1."""
        if member.ref not in self._added:
            return resolve(self._library, member.ref)
        entry, file = self._added[member.ref]
        return ResolvedSelection(
            Selection.of([Member(file.sha256)]),
            (file,),
            (entry.chat_template,) if entry.chat_template else (),
            entry.eos_tokens,
            (entry.system_prompt,) if entry.system_prompt else (),
            entry.sampling,
        )
