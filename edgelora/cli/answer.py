"""One answer from an engine: prompt in, text out, and what made it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edgelora.adapters.selection import BASE_NAME, format_selection, parse_selection
from edgelora.cli.counting import counted
from edgelora.cli.inputs import system_text
from edgelora.config.resolved import engine_config, sampling_params
from edgelora.engine.client import open_engine
from edgelora.types import Failed, Finished, Prefilling, Progress, Token

if TYPE_CHECKING:
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.chat.resolved import ResolvedSelection
    from edgelora.chat.session import SessionEvent
    from edgelora.cli.progress import ProgressBar
    from edgelora.config.settings import Settings
    from edgelora.engine.client import EngineClient
    from edgelora.types import AdapterStatus, BaseInfo


class Answer:
    """Collects an answer while it is made, and writes it to stdout as it comes if it ``streams``."""

    def __init__(self, *, streams: bool, progress: ProgressBar) -> None:
        self.progress = progress
        self.selection = BASE_NAME
        self._base: BaseInfo | None = None
        self._loaded: dict[str, AdapterStatus] = {}
        self._streams = streams
        self._parts: list[str] = []
        self._finished: Finished | None = None

    def opened(self, base: BaseInfo) -> None:
        """The engine is open."""
        self._base = base

    def note(self, loaded: AdapterStatus) -> None:
        """An adapter is resident. Says so if it does not do what its name promises."""
        if self._base and self._base.mode == "exclusive" and not self._loaded:
            self.say(f"exclusive mode, a swap costs {loaded.swap_ms:.1f} ms: {self._base.mode_reason}")
        self._loaded[loaded.sha256] = loaded
        if loaded.does_nothing:
            self.say(f"the adapter {loaded.name} changes nothing on this base")
        elif loaded.ignored:
            self.say(f"this architecture does not use {len(loaded.ignored)} tensors of the adapter {loaded.name}")

    def take(self, event: SessionEvent) -> None:
        """Deal with one event. Raises the error of a Failed."""
        from edgelora.chat.session import LeftOut, Notice

        match event:
            case Token(text=text):
                self._write(text)
            case Prefilling(done=done, total=total):
                self.progress(Progress("reading the prompt", done, total, "tokens"))
            case Finished():
                self._end_line()
                self._finished = event
            case Failed(error=error):
                self._end_line()
                raise error
            case Notice(text=text):
                self.say(text)
            case LeftOut(total=turns):
                self.say(f"{turns} turns were left out: the context is full.")

    def say(self, text: str) -> None:
        """Words for people."""
        self.progress.clear()
        click.echo(f"edgelora: {text}", err=True)

    def document(self) -> dict[str, Any]:
        """The answer as `--json` prints it. Only after the end."""
        assert self._finished is not None
        assert self._base is not None
        made = self._finished
        members = [asdict(used) | {"effect": self._loaded[used.sha256].effect} for used in made.adapters]
        return {
            "text": "".join(self._parts),
            "selection": {"text": self.selection, "members": members},
            "finish_reason": made.reason,
            "prompt_tokens": made.prompt_tokens,
            "reused_tokens": made.reused_tokens,
            "completion_tokens": made.completion_tokens,
            "ttft_ms": round(made.ttft_ms, 3),
            "tok_per_s": round(made.tok_per_s, 3),
            "base": {
                "name": self._base.name,
                "path": str(self._base.path),
                "fingerprint": self._base.fingerprint,
                "baked": [asdict(adapter) for adapter in self._base.baked],
            },
            "mode": self._base.mode,
            "mode_reason": self._base.mode_reason,
            "swap_ms": round(max((loaded.swap_ms for loaded in self._loaded.values()), default=0.0), 3),
            "callback": self._base.callback,
        }

    def _write(self, text: str) -> None:
        self._parts.append(text)
        if self._streams:
            self.progress.clear()
            sys.stdout.write(text)
            sys.stdout.flush()

    def _end_line(self) -> None:
        self.progress.clear()
        if self._streams and self._parts and not self._parts[-1].endswith("\n"):
            sys.stdout.write("\n")
            sys.stdout.flush()


async def generate(prompt: str, settings: Settings, max_tokens: int | None, answer: Answer) -> None:
    """Answer ``prompt`` under the settings' base and adapters. Raises EdgeloraError."""
    config = engine_config(settings)
    system = system_text(settings.system)
    members = parse_selection(settings.adapter or BASE_NAME)
    answer.selection = format_selection(members)
    opening = asyncio.create_task(open_engine(config, report=answer.progress))
    try:
        library = await asyncio.to_thread(_open_library, settings, answer)
        resolved = await asyncio.to_thread(_resolve, library, answer)
        engine = await opening
    except BaseException:
        await _close_when_open(opening)
        raise
    try:
        from edgelora.chat.session import ChatSession

        answer.opened(engine.base)
        hints = engine.base.sampling_hints
        sampling = sampling_params(settings, hints, card=resolved.sampling, max_tokens=max_tokens)
        session = ChatSession(counted(engine), sampling=sampling, template=settings.template, system=system)
        for file in resolved.files:
            answer.note(await engine.load(file))
        async with aclosing(session.ask(prompt, resolved)) as events:
            async for event in events:
                answer.take(event)
    finally:
        await engine.close()


def _open_library(settings: Settings, answer: Answer) -> AdapterLibrary | None:
    """The library; None where nothing of it is wanted. As long as it lives, nobody removes what it gives out."""
    if answer.selection == BASE_NAME:
        return None
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.config.resolved import base_path

    return AdapterLibrary(base_path(settings))


def _resolve(library: AdapterLibrary | None, answer: Answer) -> ResolvedSelection:
    """The adapters to load; their imports and hashing run while the engine opens."""
    from edgelora.chat.resolved import ResolvedSelection, resolve

    return resolve(library, answer.selection, answer.progress) if library else ResolvedSelection()


async def _close_when_open(opening: asyncio.Task[EngineClient]) -> None:
    """Leave no engine behind, whether it is open, opening or could not be opened."""
    opening.cancel()
    outcome = (await asyncio.gather(opening, return_exceptions=True))[0]
    if not isinstance(outcome, BaseException):
        await outcome.close()
