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
    """Answers end where the context of ``ctx`` tokens is full. Everything is done once a round, in turn.

    The processor time is what the chat's own process computes for a token; busy neighbours do not lengthen it.
    """
    options = ["--base", str(base), "--threads", str(threads), "--ctx", str(ctx), "--temperature", "0"]
    measured: dict[str, list[float]] = {"run": [], "chat_one": [], "four": [], "chat_four": []}
    work: dict[str, list[float]] = {"one": [], "four": []}
    for number in range(n_rounds):
        measured["run"].append(_run(options))
        for columns, (speed, processor_ms) in _chat(folder / f"{number}", options, adapter).items():
            measured[f"chat_{columns}"].append(speed)
            work[columns].append(round(processor_ms, 2))
        measured["four"].append(asyncio.run(_four(base, adapters, adapter, threads, ctx)))
        print(
            json.dumps({name: round(values[-1], 2) for name, values in measured.items()}), file=sys.stderr, flush=True
        )
    ratio = partial(_ratio, measured)
    return {
        "tokens_per_second": {name: [round(each, 2) for each in values] for name, values in measured.items()},
        "processor_ms_per_token": work,
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


def _chat(folder: Path, options: list[str], adapter: str) -> dict[str, tuple[float, float]]:
    """One answer of the base, then four of the adapter in a conversation of their own: tokens a second, and work."""
    folder.mkdir()
    with ChatTerminal(options, environment(folder)) as chat:
        chat.wait_for("Loaded:")
        chat.rest()
        one = _work(chat, "tok/s")
        chat.press("\x0e")
        chat.rest(0.5)
        begin_sweep(chat, adapter)
        four = _work(chat, "go on from another column")
    history = History(folder / "history.sqlite3")
    turns = [turn for info in history.list() for turn in history.get(info.id).turns]
    history.close()
    answers = {"one": (one, [turn.made_by for turn in turns if turn.made_by and turn.selection == "base"])}
    answers["four"] = four, [turn.made_by for turn in turns if turn.made_by and turn.selection != "base"]
    return {
        columns: (sum(each.tok_per_s for each in made), 1e3 * took / sum(each.completion_tokens for each in made))
        for columns, (took, made) in answers.items()
    }


def _work(chat: ChatTerminal, ended: str) -> float:
    """Processor time from the question to ``ended``, in seconds."""
    _, began = chat.press(f"{PROMPT}\r")
    took = chat.wait_for(ended, seconds=600).cpu - began
    chat.rest()
    return took


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
