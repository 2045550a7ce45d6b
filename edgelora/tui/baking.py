"""Baking the chosen adapters into the base while the chat goes on, and the ways to the baked base and back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from edgelora.errors import EdgeloraError
from edgelora.tui.picks import pick_label

if TYPE_CHECKING:
    from edgelora.merge.baked import BakedBase
    from edgelora.merge.options import MergeMember
    from edgelora.merge.trade import Trade
    from edgelora.tui.conductor import Conductor
    from edgelora.tui.picks import Pick
    from edgelora.tui.setup import ChatSetup
    from edgelora.tui.stage import Stage
    from edgelora.tui.state import ChatState
    from edgelora.types import Progress


SHOW_EVERY = 0.1
"""Seconds between two pictures of the progress."""


class _StoppedError(Exception):
    """Raised where a bake reports, to end it."""


class Baking:
    """One bake at a time. Methods may be called at any time, each in a task of its own."""

    def __init__(self, setup: ChatSetup, state: ChatState, stage: Stage, conductor: Conductor) -> None:
        self._setup = setup
        self._state = state
        self._stage = stage
        self._conductor = conductor
        self._stopped = False
        self._shown = 0.0

    async def bake(self) -> None:
        """Bake the active pick, and go on with what comes of it, unless something else was picked meanwhile."""
        pick = self._state.active
        refusal = self._refusal(pick)
        if refusal:
            await self._stage.say("information", refusal)
            return
        made = await self._made(pick)
        if made is None:
            return
        if self._state.active == pick:
            back = f"{self._state.key('palette')} leads back to the base with adapters"
            await self._stage.say("information", f"{pick_label(pick)} is baked in: {_facts(made)}. {back}.")
            await self._conductor.change_base(made.path, pick, baked=True)
        else:
            again = "to go on with it, choose it and bake it again, which takes no time"
            await self._stage.say("information", f"{pick_label(pick)} is baked in: {_facts(made)}; {again}.")

    def stop(self) -> None:
        """Stop baking with the next progress; nothing is kept."""
        self._stopped = True

    async def go_back(self) -> None:
        """Go on with the base, and the adapters that were baked in beside it, where they can be swapped."""
        if self._state.baked:
            await self._conductor.change_base(self._conductor.home, self._state.baked, baked=False)

    def _refusal(self, pick: Pick) -> str:
        if self._state.baking:
            return f"{pick_label(self._state.baking)} is being baked in; one at a time."
        if self._state.baked:
            return f"{pick_label(self._state.baked)} is baked in already."
        if not any(member.scale for member in pick):
            return f"There is nothing to bake in: choose an adapter first ({self._state.key('adapters')})."
        return ""

    async def _made(self, pick: Pick) -> BakedBase | None:
        """What comes of baking; where nothing does, why was said."""
        self._stopped, self._loop = False, asyncio.get_running_loop()
        self._show(pick)
        try:
            return await asyncio.to_thread(
                self._setup.bake, self._conductor.home, self._members(pick), self._report, self._announce
            )
        except _StoppedError:
            await self._stage.say("information", f"{pick_label(pick)} was not baked in: stopped.")
        except EdgeloraError as error:
            await self._stage.say("error", f"{pick_label(pick)} cannot be baked in: {error}\nNothing has changed.")
        finally:
            self._stopped = True  # also where this task was cancelled and the thread goes on
            self._show(())
        return None

    def _members(self, pick: Pick) -> list[MergeMember]:
        from edgelora.merge.options import MergeMember

        named = ((self._state.entry(member.ref), member.scale) for member in pick if member.scale)
        return [MergeMember(entry.path, scale, entry.full_name) for entry, scale in named if entry]

    def _report(self, progress: Progress) -> None:
        """Progress, in the thread that bakes."""
        if self._stopped:
            raise _StoppedError
        if time.monotonic() - self._shown >= SHOW_EVERY:
            self._shown = time.monotonic()
            self._loop.call_soon_threadsafe(self._show_progress, progress)

    def _announce(self, trade: Trade) -> None:
        """What it costs, before anything is written, in the thread that bakes."""
        if self._stopped:
            raise _StoppedError
        said = f"{trade.line} {self._state.key('stop')} stops baking."
        asyncio.run_coroutine_threadsafe(self._stage.say("information", said), self._loop)

    def _show_progress(self, progress: Progress) -> None:
        if self._state.baking:
            self._show(self._state.baking, progress)

    def _show(self, pick: Pick, progress: Progress | None = None) -> None:
        self._state.baking = pick
        self._state.baking_progress = progress
        self._stage.refresh_state()


def _facts(made: BakedBase) -> str:
    """``5.8 MB instead of 5.6 MB, 99.9 % of its change kept``."""
    sizes = f"{made.n_bytes / 1e6:,.1f} MB instead of {made.base_bytes / 1e6:,.1f} MB"
    slower = "; slower than the adapter at run time" if made.faster == "adapter" else ""
    return f"{sizes}, {100 * min(made.kept, 1):.1f} % of its change kept{slower}"
