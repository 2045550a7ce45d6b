"""Opening the engine and the library at the same time, and the pick to begin with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.adapters.selection import MemberText, parse_selection
from edgelora.errors import EdgeloraError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from edgelora.adapters.library import AdapterLibrary
    from edgelora.engine.client import EngineClient
    from edgelora.tui.picks import Pick
    from edgelora.tui.stage import Stage


async def open_engine_beside(library: Coroutine[None, None, None], engine: Awaitable[EngineClient]) -> EngineClient:
    """The opened engine, once ``library`` is done too. Leaves no engine behind if either fails or this is cancelled."""
    opening = asyncio.ensure_future(engine)
    try:
        await library
        return await asyncio.shield(opening)
    except BaseException:
        opening.cancel()
        outcome = (await asyncio.gather(opening, return_exceptions=True))[0]
        if not isinstance(outcome, BaseException):
            await outcome.close()
        raise


async def first_pick(library: AdapterLibrary, selection: str, stage: Stage) -> Pick:
    """What ``selection`` asks for, by names. What is wrong with it is said, and the chat begins on the base."""
    try:
        return tuple([await asyncio.to_thread(_named, library, member) for member in parse_selection(selection)])
    except EdgeloraError as error:
        await stage.say("error", f"{error}\nThe chat begins on the base; pick another adapter any time.")
        return ()


def _named(library: AdapterLibrary, member: MemberText) -> MemberText:
    """``member`` by the name the library gives it, if it is a path."""
    return MemberText(library.add(Path(member.ref)).name, member.scale) if member.is_path else member
