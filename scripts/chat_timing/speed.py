"""How fast answers come with the chat open, over how fast they come without it."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from chat_timing.scrolling import environment
from chat_timing.terminal import ChatTerminal
from chat_timing.typing_along import begin_sweep
from edgelora.adapters.library import AdapterLibrary
from edgelora.chat.comparison import Comparison
from edgelora.chat.history.store import History
from edgelora.chat.resolved import resolve
from edgelora.chat.session import ChatSession
from edgelora.engine.client import open_engine
from edgelora.tui.comparing import SWEEP
from edgelora.types import EngineConfig, Failed, Finished, SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "Tell me everything that you know about rivers."


def measure(
    folder: Path, base: Path, adapters: Path, adapter: str, threads: int, ctx: int, n_rounds: int
) -> dict[str, Any]:
    """Answers end where the context of ``ctx`` tokens is full. Everything is done once a round, in turn."""
    options = ["--base", str(base), "--threads", str(threads), "--ctx", str(ctx), "--temperature", "0"]
    measured: dict[str, list[float]] = {"run": [], "chat_one": [], "four": [], "chat_four": []}
    for number in range(n_rounds):
        measured["run"].append(_run(options))
        one, four = _chat(folder / f"{number}", options, adapter)
        measured["chat_one"].append(one)
        measured["chat_four"].append(four)
        measured["four"].append(asyncio.run(_four(base, adapters, adapter, threads, ctx)))
        print(
            json.dumps({name: round(values[-1], 2) for name, values in measured.items()}), file=sys.stderr, flush=True
        )
    ratio = partial(_ratio, measured)
    return {
        "tokens_per_second": {name: [round(each, 2) for each in values] for name, values in measured.items()},
        "one_column_over_run": ratio("chat_one", "run"),
        "four_columns_over_four_sequences": ratio("chat_four", "four"),
    }


def _ratio(measured: dict[str, list[float]], over: str, under: str) -> dict[str, Any]:
    ratios = [a / b for a, b in zip(measured[over], measured[under], strict=True)]
    return {"median": round(statistics.median(ratios), 3), "rounds": [round(each, 3) for each in ratios]}


def _run(options: list[str]) -> float:
    command = [sys.executable, "-m", "edgelora.cli", "run", PROMPT, *options, "--json"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(printed)["tok_per_s"])


def _chat(folder: Path, options: list[str], adapter: str) -> tuple[float, float]:
    """One answer of the base, then four of the adapter in a conversation of their own."""
    folder.mkdir()
    with ChatTerminal(options, environment(folder)) as chat:
        chat.wait_for("Loaded:")
        chat.rest()
        chat.press(f"{PROMPT}\r")
        chat.wait_for("tok/s", seconds=600)
        chat.rest()
        chat.press("\x0e")
        chat.rest(0.5)
        begin_sweep(chat, adapter)
        chat.press(f"{PROMPT}\r")
        chat.wait_for("go on from another column", seconds=600)
        chat.rest()
    history = History(folder / "history.sqlite3")
    turns = [turn for info in history.list() for turn in history.get(info.id).turns]
    history.close()
    speeds = {turn.selection: turn.made_by.tok_per_s for turn in turns if turn.made_by}
    one = speeds.pop("base")
    return one, sum(speeds.values())


async def _four(base: Path, adapters: Path, adapter: str, threads: int, ctx: int) -> float:
    engine = await open_engine(EngineConfig(base, threads=threads, ctx=ctx))
    try:
        library = AdapterLibrary(base, folder=adapters)
        columns = [resolve(library, f"{adapter}:{scale}") for scale in SWEEP]
        comparison = Comparison(ChatSession(engine, sampling=SamplingParams(temperature=0)), PROMPT, columns)
        finished = []
        async for _, event in comparison.events():
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                finished.append(event.tok_per_s)
        return sum(finished)
    finally:
        await engine.close()
