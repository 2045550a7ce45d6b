"""Adapters that come, change and go in the adapter folder while the chat is open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgelora.tui.conductor import Conductor
    from edgelora.tui.state import ChatState

EVERY = 0.6
"""Seconds between two looks at the folder. What came is listed with the look after the one that found it."""


async def watch_folder(state: ChatState, conductor: Conductor) -> None:
    """Keep the entries of ``state`` as the folder is, until cancelled."""
    while True:
        await asyncio.sleep(EVERY)
        library = conductor.adapters.library
        if library is None:
            continue
        if await asyncio.to_thread(library.has_changed):
            before = {(entry.name, entry.sha256) for entry in state.entries}
            await conductor.adapters.look()
            now = {(entry.name, entry.sha256) for entry in state.entries}
            for sha256 in {sha256 for _, sha256 in before ^ now}:
                state.problems.pop(sha256 or "", None)
            state.fresh |= {name for name, _ in now - before}
