"""Greedy answers to many prompts on one engine, which makes them side by side."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from demo.pass_rates import MAX_TOKENS
from edgelora.adapters.library import AdapterLibrary
from edgelora.chat.resolved import resolve
from edgelora.chat.session import ChatSession
from edgelora.engine.client import open_engine
from edgelora.types import EngineConfig, Failed, SamplingParams, Token

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgelora.chat.resolved import ResolvedSelection


async def answers(base: Path, selection: str, prompts: Iterable[str]) -> list[str]:
    """The answers of `base` under `selection`, in the order of the prompts; raises EdgeloraError where there is none.

    Each is what a new conversation begins with. Sums in a batch come in another order than alone, so some differ
    from those of `edgelora run`.
    """
    resolved = resolve(AdapterLibrary(base), selection)
    engine = await open_engine(EngineConfig(base=base))
    greedy = SamplingParams(temperature=0.0, max_tokens=MAX_TOKENS)
    try:
        return await asyncio.gather(
            *(_answer(ChatSession(engine, sampling=greedy), each, resolved) for each in prompts)
        )
    finally:
        await engine.close()


async def _answer(session: ChatSession, prompt: str, resolved: ResolvedSelection) -> str:
    text = ""
    async with aclosing(session.ask(prompt, resolved)) as events:
        async for event in events:
            if isinstance(event, Failed):
                raise event.error
            text += event.text if isinstance(event, Token) else ""
    return text
