"""Conversations in which the adapter is swapped between two questions, and the second needs what the first one said."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING

from demo.checks import check
from demo.heldout import MAKERS
from demo.layout import ADAPTER_GGUFS
from demo.text.example import Example, draw

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.chat.resolved import ResolvedSelection
    from edgelora.chat.session import ChatSession

MAX_TOKENS = 200


@dataclass(frozen=True)
class Swap:
    """A request of one domain that also states the facts of another, then a request that refers back to them."""

    first: Example
    second: Example

    @property
    def prompts(self) -> tuple[str, str]:
        return f"{self.first.prompt} {self.second.setup}", self.second.followup


@dataclass(frozen=True)
class SwapRate:
    """How many swap conversations had both answers pass, and the others in words."""

    count: int
    passed: int
    failures: tuple[str, ...]

    def line(self) -> str:
        return f"swaps: in {self.passed} of {self.count} conversations both answers pass"


def held_out_swaps(rounds: int, seed: int = 1) -> list[Swap]:
    """Return `rounds` conversations for every ordered pair of adapters, from held-out combinations."""
    rng = Random(f"swaps:{seed}")
    return [
        Swap(draw(MAKERS[first], rng, held_out=True), draw(MAKERS[second], rng, held_out=True))
        for _ in range(rounds)
        for first, second in permutations(MAKERS, 2)
    ]


async def measure_swaps(base: Path, rounds: int) -> SwapRate:
    """Hold the conversations on one engine; raises EdgeloraError if that cannot answer."""
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.chat.resolved import resolve
    from edgelora.chat.session import ChatSession
    from edgelora.engine.client import open_engine
    from edgelora.types import EngineConfig, SamplingParams

    swaps, failures = held_out_swaps(rounds), []
    library = AdapterLibrary(base)
    adapters = {name: resolve(library, str(ADAPTER_GGUFS / f"{name}.gguf")) for name in MAKERS}
    engine = await open_engine(EngineConfig(base=base, threads=1))
    try:
        session = ChatSession(engine, sampling=SamplingParams(temperature=0.0, max_tokens=MAX_TOKENS))
        for swap in swaps:
            session.start_over()
            examples = swap.first, swap.second
            said = [
                await _answer(session, prompt, adapters[example.domain])
                for prompt, example in zip(swap.prompts, examples, strict=True)
            ]
            if not all(check(each.domain, each.facts, text) for each, text in zip(examples, said, strict=True)):
                failures.append("".join(f"> {asked}\n{text}\n" for asked, text in zip(swap.prompts, said, strict=True)))
    finally:
        await engine.close()
    return SwapRate(len(swaps), len(swaps) - len(failures), tuple(failures))


async def _answer(session: ChatSession, prompt: str, adapter: ResolvedSelection) -> str:
    from edgelora.types import Failed, Token

    text = ""
    async with aclosing(session.ask(prompt, adapter)) as events:
        async for event in events:
            if isinstance(event, Token):
                text += event.text
            elif isinstance(event, Failed):
                raise event.error
    return text
