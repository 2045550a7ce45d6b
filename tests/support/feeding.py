"""Mutated files given to an engine, and what became of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from edgelora.engine.client import EngineClient, open_engine
from edgelora.errors import EdgeloraError, EngineDiedError, EngineError, MemoryLimitError, QuarantinedError
from edgelora.types import (
    BASE,
    AdapterFile,
    EngineConfig,
    Failed,
    Finished,
    Member,
    Request,
    SamplingParams,
    Selection,
    Token,
)
from support.mutations import Parts, mutated

PATIENCE = 120.0
"""Seconds after which an engine counts as hanging."""

PROMPT = tuple(range(300, 330))


async def answer(engine: EngineClient, selection: Selection = BASE, max_tokens: int = 8) -> str:
    """The text of one greedy answer. Raises what it failed with."""
    request = Request("x", PROMPT, selection, SamplingParams(max_tokens=max_tokens, temperature=0))
    said = ""
    async for event in engine.generate(request):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token):
            said += event.text
        ended = isinstance(event, Finished)
    assert ended
    return said


async def feed_adapters(
    engine: EngineClient, originals: Iterable[Path], seeds: Iterable[int], folder: Path
) -> Counter[str]:
    """Load and use a mutated adapter for each seed. Counts what became of them; says each that crashed."""
    sources = [Parts.of(path) for path in originals]
    counts: Counter[str] = Counter()
    for seed in seeds:
        done, raw = mutated(sources[seed % len(sources)], seed)
        path = folder / "mutated.gguf"
        path.write_bytes(raw)
        file = AdapterFile(f"seed-{seed}", path, hashlib.sha256(raw).hexdigest())
        fate = await _fate(_use(engine, file))
        if fate.startswith("crashed"):
            fate = "crashed, " + await _fate(_use(engine, file))
            print(f"adapter {seed} ({done}): {fate}")
        counts[fate] += 1
    return counts


async def feed_bases(original: Path, seeds: Iterable[int], folder: Path) -> Counter[str]:
    """Open and ask a mutated base for each seed. Counts what became of them; says each that crashed."""
    source = Parts.of(original)
    counts: Counter[str] = Counter()
    for seed in seeds:
        done, raw = mutated(source, seed)
        path = folder / "mutated.gguf"
        path.write_bytes(raw)
        fate = await _fate(_open(path))
        if fate.startswith(("crashed", "quarantined")):
            print(f"base {seed} ({done}): {fate}")
        counts[fate] += 1
    return counts


async def _use(engine: EngineClient, file: AdapterFile) -> None:
    await engine.load(file)
    try:
        await answer(engine, Selection.of([Member(file.sha256)]), 2)
    finally:
        await engine.evict(file.sha256)


async def _open(path: Path) -> None:
    engine = await open_engine(EngineConfig(path, ctx=128, threads=1))
    try:
        await engine.tokenize("One two <|im_end|> three.\n", parse_special=True)
        await answer(engine)
    finally:
        await engine.close()


async def _fate(use: object) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await use  # type: ignore[misc]
    except QuarantinedError as error:
        return f"quarantined: {error.message[-160:]}"
    except EngineDiedError as error:
        return f"crashed: {error.message}"
    except MemoryLimitError:
        return "refused for want of memory"
    except EngineError as error:
        if "internal error" in error.message:
            raise
        return "refused by llama.cpp" if "llama.cpp" in error.message else "refused by the engine"
    except EdgeloraError:
        return "refused before llama.cpp"
    return "worked"
