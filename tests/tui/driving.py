"""The chat on a fake engine, ready to be driven."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from support.fake_engine import FakeEngine
from textual.command import CommandInput, CommandList, CommandPalette
from textual.events import Key

from edgelora.tui.app import ChatApp
from edgelora.tui.setup import ChatSetup
from edgelora.tui.widgets.composer import Composer
from edgelora.tui.widgets.items import AnswerItem, PromptItem, RemarkItem
from edgelora.tui.widgets.picker import AdapterPicker
from edgelora.tui.widgets.transcript import Transcript
from edgelora.types import ReportProgress, SamplingParams
from tests.tui.fake_baker import FakeBaker
from tests.tui.fake_library import FakeLibrary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from textual.pilot import Pilot
    from textual.screen import Screen

    from edgelora.tui.widgets.answer import Answer

PATIENCE = 3000
"""Rounds of 10 ms, so that a busy machine gets more time."""
ROUNDS = 50
"""Of a millisecond and more."""
CHARACTERS = {"space": " ", "plus": "+", "minus": "-"}


@dataclass
class Driver:
    """A running chat and what a test asks of it."""

    app: ChatApp
    pilot: Pilot[None]
    engine: FakeEngine = field(default_factory=FakeEngine)

    async def keys(self, *keys: str) -> None:
        """Press ``keys`` and wait until all is handled."""
        self.press(*keys)
        await self.settled()

    def press(self, *keys: str) -> None:
        """Press ``keys`` as fast as a terminal sends a paste of them."""
        for key in keys:
            character = key if len(key) == 1 else CHARACTERS.get(key)
            event = Key(key, character)
            event.set_sender(self.app)
            self.app.post_message(event)

    async def settled(self) -> None:
        """Wait until every widget has handled what it had and what followed from that, and until it is painted."""
        for _ in range(2):
            handled = asyncio.Event()
            self.app.call_later(handled.set)
            await handled.wait()
            await self.pilot._wait_for_screen()
        await self._rest(lambda: _has_to_paint(self.app.screen))

    async def _rest(self, is_busy: Callable[[], bool]) -> None:
        """Wait until nothing is to be done. What never rests, such as an answer that streams, gets some rounds."""
        quiet = 0
        for _ in range(ROUNDS):
            quiet = 0 if is_busy() else quiet + 1
            if quiet == 3:
                return
            await asyncio.sleep(0.001)

    async def type(self, text: str) -> None:
        """Write ``text`` and send it."""
        self.app.query_one(Composer).insert(text)
        await self.keys("enter")

    async def ask(self, text: str) -> Answer | AnswerItem:
        """Send ``text`` and wait for the end of its answer."""
        await self.type(text)
        await self.app.workers.wait_for_complete()
        await self.settled()
        return self.answers[-1]

    async def pick(self, *keys: str) -> None:
        """Open the picker, press ``keys`` and Enter, and wait until the swap is done."""
        await self.keys("ctrl+t", *keys, "enter")
        await self.app.workers.wait_for_complete()
        await self.settled()

    async def command(self, words: str) -> None:
        """Choose the first command of the palette that matches."""
        await self.keys("ctrl+p")
        await self.until(lambda: isinstance(self.app.screen, CommandPalette))
        self.app.screen.query_one(CommandInput).value = words
        await self.until(lambda: self.app.screen.query_one(CommandList).option_count == 1)
        await self.keys("enter")
        await self.until(lambda: not isinstance(self.app.screen, CommandPalette))
        await self.settled()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so, and until what comes with it has come; fails after half a minute."""
        for _ in range(PATIENCE):
            if holds():
                return await self._rest(lambda: _has_to_paint(self.app.screen) or _can_go_on())
            await asyncio.sleep(0.01)
        raise AssertionError(f"did not come true: {self.screen_text}")

    @property
    def transcript(self) -> Transcript:
        return self.app.query_one(Transcript)

    @property
    def answers(self) -> list[Answer | AnswerItem]:
        """Each as it is there: as a widget while it is being made."""
        return [item.widget or item for item in self.transcript.items if isinstance(item, AnswerItem)]

    @property
    def prompts(self) -> list[str]:
        return [item.text for item in self.transcript.items if isinstance(item, PromptItem)]

    @property
    def remarks(self) -> str:
        return "\n".join(item.text for item in self.transcript.items if isinstance(item, RemarkItem))

    async def click(self, text: str) -> None:
        """Click on the first cell of ``text`` on the screen."""
        y, line = next((y, line) for y, line in enumerate(self.screen_text.split("\n")) if text in line)
        await self.pilot.click(offset=(cell_len(line[: line.index(text)]), y))

    @property
    def composer(self) -> Composer:
        return self.app.query_one(Composer)

    @property
    def picker(self) -> AdapterPicker:
        return self.app.query_one(AdapterPicker)

    @property
    def screen_text(self) -> str:
        """What is on the screen, as text."""
        lines = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in lines)


def _has_to_paint(screen: Screen[object]) -> bool:
    return bool(screen._layout_required or screen._repaint_required or screen._scroll_required or screen._dirty_widgets)


def _can_go_on() -> bool:
    """Whether another task waits for nothing: neither for a thread nor for the clock, nor for the test."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    waits_for = [task._fut_waiter for task in others]  # type: ignore[attr-defined]
    return any(future is None or future.done() for future in waits_for)


@dataclass
class Opener:
    """Opens ``engines`` one after the other, as the chat asks for them."""

    engines: list[FakeEngine | Exception]
    opened: list[FakeEngine] = field(default_factory=list)
    bases: list[Path] = field(default_factory=list)

    async def __call__(self, base: Path, report: ReportProgress) -> FakeEngine:
        self.bases.append(base)
        engine = self.engines.pop(0)
        if isinstance(engine, Exception):
            raise engine
        self.opened.append(engine)
        return engine


@asynccontextmanager
async def chat(
    *engines: FakeEngine | Exception,
    library: FakeLibrary | None = None,
    size: tuple[int, int] = (120, 36),
    wait: bool = True,
    opener: Callable[[Path, ReportProgress], Awaitable[FakeEngine]] | None = None,
    baker: FakeBaker | None = None,
    **setup: object,
) -> AsyncIterator[Driver]:
    """A chat on ``engines`` (one by default), or on what ``opener`` opens; open already unless ``wait`` is False."""
    queue = Opener(list(engines) or [FakeEngine()])
    shelf = library or FakeLibrary()
    sampling, bake = (lambda base, card: SamplingParams(**card)), baker or FakeBaker()
    app = ChatApp(ChatSetup(Path("demo.gguf"), opener or queue, lambda: shelf, sampling, bake, **setup))  # type: ignore
    async with app.run_test(size=size, notifications=True) as pilot:
        driver = Driver(app, pilot, queue.opened[0] if queue.opened else FakeEngine())
        if wait:
            await driver.until(lambda: app.state.phase in ("ready", "down"))
            driver.engine = queue.opened[0] if queue.opened else driver.engine
            await driver.settled()
        yield driver
        await app.action_quit()
