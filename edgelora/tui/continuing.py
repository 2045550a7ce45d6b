"""Another conversation, another branch, or other settings, and going on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgelora.chat.history.records import StoredConversation
    from edgelora.chat.tree import Exchange
    from edgelora.tui.conductor import Conductor
    from edgelora.tui.picks import Pick
    from edgelora.tui.setup import ChatSetup
    from edgelora.tui.stage import Stage
    from edgelora.tui.state import ChatState
    from edgelora.types import SamplingParams


class Continuing:
    """What is gone on from. Methods may be called at any time, each in a task of its own."""

    def __init__(self, setup: ChatSetup, state: ChatState, stage: Stage, conductor: Conductor) -> None:
        self._setup = setup
        self._state = state
        self._stage = stage
        self._conductor = conductor

    async def go_on_from(self, exchange: Exchange | None) -> None:
        """Continue the branch that ``exchange`` ends, which is read again at once."""
        await self._conductor.supersede()
        async with self._conductor.busy:
            if self._conductor.session:
                self._conductor.keeping.go_on_from(exchange)
                await self._go_on()

    async def resume(self, stored: StoredConversation, pick: Pick | None, remarks: Iterable[str] = ()) -> None:
        """Go on with a kept conversation, under ``pick`` if there is one. A running answer is stopped.

        It is shown at once, also while the base opens for the first time.
        """
        await self._conductor.stop()
        if self._conductor.session is None:
            await self._show(stored, pick, remarks)
            return
        async with self._conductor.busy:
            await self._show(stored, pick, remarks)
            self._conductor.apply_settings()
            self._conductor.is_shown.set()
            await self._go_on()

    async def configure(self, system: str, sampling: SamplingParams | None) -> None:
        """Another system prompt and other sampling for this conversation, which is read again under them."""
        await self._conductor.supersede()
        async with self._conductor.busy:
            self._conductor.keeping.configure(system, sampling)
            self._conductor.apply_settings()
            await self._conductor.read_again_if_ready()

    async def start_over(self) -> None:
        """Begin a new conversation."""
        await self._conductor.stop()
        async with self._conductor.busy:
            self._conductor.keeping.start_over(self._setup.system)
            self._conductor.apply_settings()
            if self._conductor.session:
                self._conductor.session.start_over()
            self._state.context_used = 0
            self._stage.refresh_state()

    async def _go_on(self) -> None:
        if self._conductor.session:
            self._conductor.session.go_on_from(self._conductor.keeping.tree.turns)
        await self._conductor.read_again_if_ready()

    async def _show(self, stored: StoredConversation, pick: Pick | None, remarks: Iterable[str]) -> None:
        self._conductor.keeping.resume(stored, self._setup.system)
        self._state.context_used = 0
        if pick is not None:
            self._state.active = pick
        await self._stage.show_conversation()
        for remark in remarks:
            await self._stage.say("information", remark)
