"""Conversations from the history, gone on with in the chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.adapters.selection import parse_selection
from edgelora.errors import EdgeloraError
from edgelora.tui.archive import Archive
from edgelora.tui.picks import pick_label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgelora.chat.history.records import StoredConversation
    from edgelora.tui.conductor import Conductor
    from edgelora.tui.continuing import Continuing
    from edgelora.tui.picks import Pick
    from edgelora.tui.setup import ChatSetup
    from edgelora.tui.stage import Stage
    from edgelora.tui.state import ChatState


class Reopening:
    """Opens kept conversations; what follows is another branch of the same history."""

    def __init__(
        self, setup: ChatSetup, state: ChatState, stage: Stage, conductor: Conductor, continuing: Continuing
    ) -> None:
        self._setup = setup
        self._state = state
        self._stage = stage
        self._conductor = conductor
        self._continuing = continuing

    def archive(self) -> Archive | None:
        """The history, unless none is kept."""
        return Archive(self._setup.open_history) if self._setup.open_history else None

    async def look(self) -> None:
        """Note whether there is anything to open, for the first screen."""
        archive = self.archive()
        if archive:
            try:
                found = await archive.list()
                await archive.close()
            except EdgeloraError:
                return  # said when something is to be kept
            self._state.earlier = found[0].title if found else ""
            self._stage.refresh_state()

    async def open(self, conversation: int) -> None:
        """Go on with a kept conversation, under the adapters of its last answer where they are here.

        What is asked meanwhile waits until it is shown.
        """
        archive = self.archive()
        if archive is None or conversation == self._conductor.keeping.conversation:
            return
        self._conductor.is_shown.clear()
        try:
            stored = await archive.get(conversation)
            await archive.close()
            pick = self._pick(stored)
            await self._continuing.resume(stored, pick, self._differences(stored, pick))
        except EdgeloraError as error:
            await self._stage.say("error", str(error))
        finally:
            self._conductor.is_shown.set()

    def _differences(self, stored: StoredConversation, pick: Pick | None) -> Iterator[str]:
        """What is not as it was before."""
        base = self._state.base
        made_on = stored.by_id[stored.head].base.name if stored.head is not None else stored.info.base
        if base and made_on and made_on != base.name:
            yield f"Made on {made_on}; it goes on with {base.name}."
        if pick is None:
            yield f"{self._last(stored)} is not in this library; it goes on with {pick_label(self._state.active)}."

    def _last(self, stored: StoredConversation) -> str:
        return stored.by_id[stored.head].selection if stored.head is not None else stored.turns[-1].selection

    def _pick(self, stored: StoredConversation) -> Pick | None:
        """What its last answer was asked for, if that can be picked; on a baked base what is baked in."""
        if self._state.baked:
            return self._state.baked
        try:
            pick = tuple(parse_selection(self._last(stored)))
        except EdgeloraError:
            return None
        entries = [self._state.entry(member.ref) for member in pick]
        return pick if all(entry and not self._state.problem(entry) for entry in entries) else None
