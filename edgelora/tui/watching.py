"""What an engine says by itself: adapters that come and go, its death, and its return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.errors import EdgeloraError
from edgelora.types import AdapterEvicted, AdapterLoaded, EngineDied, EngineRestarted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edgelora.engine.client import EngineClient
    from edgelora.tui.stage import Stage
    from edgelora.tui.state import ChatState
    from edgelora.types import AdapterStatus


async def watch(
    engine: EngineClient, state: ChatState, stage: Stage, go_down: Callable[[EdgeloraError], Awaitable[None]]
) -> None:
    """Note and say what ``engine`` reports until it is closed; ``go_down`` is for its end."""
    async for event in engine.events():
        match event:
            case AdapterLoaded(status):
                state.note_loaded(status)
                await _judge(status, state, stage)
            case AdapterEvicted(sha256):
                state.note_evicted(sha256, await _prepared(engine))
            case EngineDied(error, restarting=True):
                state.note_engine_gone()
                await stage.say("error", f"{error}\nThe conversation is kept; the engine restarts by itself.")
            case EngineDied(error):
                await go_down(error)
            case EngineRestarted():
                stage.hide_progress()
                await stage.say("information", "The engine is there again.")
        stage.refresh_state()


async def _judge(status: AdapterStatus, state: ChatState, stage: Stage) -> None:
    """Say so where swaps are slow, or an adapter was found to do nothing, or not all it should."""
    base = state.base
    if base and base.mode == "exclusive" and len(state.loaded) == 1:
        await stage.say(
            "information",
            f"Exclusive mode ({base.mode_reason}): llama.cpp applies the adapters itself, "
            f"and a swap costs {status.swap_ms:.1f} ms.",
        )
    if status.does_nothing:
        await stage.say("warning", f"{status.name} changes nothing on this base: its answers are the base's.")
    elif status.ignored:
        ignored = ", ".join(status.ignored[:3]) + (" …" if len(status.ignored) > 3 else "")
        await stage.say("warning", f"{status.name}: this architecture does not use {ignored}.")


async def _prepared(engine: EngineClient) -> int:
    """How many adapters the engine keeps in memory without their being resident."""
    try:
        return (await engine.stats()).prepared
    except EdgeloraError:  # it died meanwhile, which is said elsewhere
        return 0
