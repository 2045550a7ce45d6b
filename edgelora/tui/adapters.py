"""The adapters that can be chosen: the library behind the picker, and what is wrong with some of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.adapters.selection import MemberText, format_selection, parse_selection
from edgelora.chat.resolved import ResolvedSelection, resolve
from edgelora.errors import AdapterError, ConversionError, EdgeloraError, GGUFError, QuarantinedError

if TYPE_CHECKING:
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.tui.picks import Pick
    from edgelora.tui.setup import ChatSetup
    from edgelora.tui.stage import Stage
    from edgelora.tui.state import ChatState
    from edgelora.types import ReportProgress


class Adapters:
    """Keeps the entries of the state as the library is. ``library`` is None until it is open."""

    def __init__(self, setup: ChatSetup, state: ChatState, stage: Stage, report: ReportProgress) -> None:
        """``report`` is called from whatever thread."""
        self._setup = setup
        self._state = state
        self._stage = stage
        self._report = report
        self.library: AdapterLibrary | None = None

    async def open(self) -> None:
        """Open the library; where it is open, look into it again."""
        if self.library is None:
            self.library = await asyncio.to_thread(self._setup.open_library)
            self._state.folder = self.library.folder
        await self.look()

    async def look(self) -> None:
        """Read the adapter folder again."""
        if self.library:
            self._state.entries = await asyncio.to_thread(self.library.refresh)
            self._stage.refresh_state()

    def use(self, library: AdapterLibrary) -> None:
        """Choose from another library, which is for another base."""
        self.library = library
        self._state.entries = library.entries
        self._state.problems.clear()

    async def first_pick(self) -> Pick:
        """What the chat was started with, by names. What is wrong with it is said, and the chat begins on the base."""
        if self.library is None:
            return ()
        try:
            wanted = parse_selection(self._setup.selection)
            pick = tuple([await asyncio.to_thread(_named, self.library, member) for member in wanted])
        except EdgeloraError as error:
            await self._stage.say("error", f"{error}\nThe chat begins on the base; pick another adapter any time.")
            pick = ()
        self._state.entries = self.library.entries
        return pick

    async def resolve(self, pick: Pick) -> ResolvedSelection:
        """What a request under ``pick`` needs. May convert an adapter of another form, with progress."""
        if not pick or self.library is None or pick == self._state.baked:  # a baked base has all of it itself
            return ResolvedSelection()
        resolved = await asyncio.to_thread(resolve, self.library, format_selection(pick), self._report)
        self._state.entries = self.library.refresh()  # a converted folder has a content hash now
        return resolved

    def refusal(self, pick: Pick) -> str:
        """Why ``pick`` cannot be chosen, empty if it can be."""
        for entry in map(self._state.entry, (member.ref for member in pick)):
            problem = self._state.problem(entry) if entry else None
            if entry and problem:
                return f"{entry.name} cannot be used: {problem}"
        return ""

    def mark(self, pick: Pick, error: EdgeloraError) -> None:
        """Note that an adapter cannot be used, so that the picker says why; what is wrong with a mixture marks none."""
        entry = self._state.entry(pick[0].ref) if len(pick) == 1 else None
        of_a_file = isinstance(error, AdapterError | GGUFError | ConversionError)
        if entry and (of_a_file or (isinstance(error, QuarantinedError) and error.adapters)):
            self._state.problems[entry.sha256 or entry.name] = error.message


def _named(library: AdapterLibrary, member: MemberText) -> MemberText:
    """``member`` by the name the library lists it under, also where it is a path or an alias."""
    entry = library.add(Path(member.ref)) if member.is_path else library.named(member.ref)
    return MemberText(entry.name, member.scale)
