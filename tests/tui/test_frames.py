"""When what has come is painted, and how little of the screen that concerns."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, cast

import pytest
from textual._compositor import Compositor
from textual.app import App, ComposeResult
from textual.geometry import Region

from edgelora.tui.widgets import frames
from edgelora.tui.widgets.composer import Composer
from edgelora.tui.widgets.frames import FRAME, LONGEST, WEIGHT, Frames
from edgelora.tui.widgets.progress_line import ProgressLine
from edgelora.tui.widgets.streamed_markdown import StreamedMarkdown
from tests.tui.driving import chat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual.strip import Strip
    from textual.widget import Widget

SHARE = 0.05


@dataclass
class Painter:
    """A widget's clockwork, wound by hand."""

    painted: int = 0
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    is_running: bool = True

    def paint(self) -> None:
        self.painted += 1

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.timers.append((delay, callback))

    def rest(self) -> float:
        """Wait until something may be painted again. Gives how long that takes."""
        took = 0.0
        for _ in range(2):
            delay, go_on = self.timers.pop()
            assert not self.timers
            took += delay
            go_on()
        return took


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    painter = Painter()
    monkeypatch.setattr(frames, "get_running_loop", lambda: painter)
    return painter


@pytest.fixture
def shown(painter: Painter) -> Frames:
    return Frames(cast("Widget", painter), painter.paint, SHARE)


def test_the_first_is_painted_at_once_and_the_others_together(painter: Painter, shown: Frames) -> None:
    for _ in range(5):
        shown.ask()
    assert painter.painted == 1
    painter.rest()
    assert (painter.painted, len(painter.timers)) == (2, 1)
    painter.rest()
    assert (painter.painted, painter.timers) == (2, []), "nothing was asked for, nothing goes on"
    shown.ask()
    assert painter.painted == 3


def test_nothing_is_painted_that_was_removed_meanwhile(painter: Painter, shown: Frames) -> None:
    shown.ask()
    shown.ask()
    painter.is_running = False
    painter.rest()
    assert painter.painted == 1


@pytest.mark.parametrize(
    ("took", "rest"), [(0.0, FRAME), (FRAME * SHARE / 2, FRAME), (0.02, 0.02 * WEIGHT / SHARE), (9.0, LONGEST)]
)
def test_what_takes_long_is_painted_less_often(
    painter: Painter, shown: Frames, monkeypatch: pytest.MonkeyPatch, took: float, rest: float
) -> None:
    monkeypatch.setattr(frames, "thread_time", partial(next, count(0.0, took)))
    shown.ask()
    assert painter.rest() == pytest.approx(rest)


class Page(App[None]):
    """A line that says how far something is, and an answer."""

    CSS = "Screen { layout: vertical; }"

    def __init__(self) -> None:
        super().__init__()
        self.progress, self.markdown = ProgressLine(), Watched()
        self.n_layouts = 0

    def compose(self) -> ComposeResult:
        yield self.progress
        yield self.markdown

    def on_mount(self) -> None:
        self.screen.screen_layout_refresh_signal.subscribe(self, self._count)

    def _count(self, _: object) -> None:
        self.n_layouts += 1

    def say(self, text: str) -> None:
        if self.markdown.append(text):
            self.markdown.lay_out(self.markdown.n_lines)

    @property
    def painted(self) -> list[Strip]:
        return [self.markdown.render_line(y) for y in range(self.markdown.size.height)]


class Watched(StreamedMarkdown):
    """Knows what it had painted again."""

    regions: list[Region]

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Watched:
        self.regions = list(regions)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


async def test_what_is_hidden_already_is_hidden_without_a_layout() -> None:
    page = Page()
    async with page.run_test() as pilot:
        page.progress.show_progress("Reading", 1, 2)
        page.progress.hide()
        await pilot.pause()
        before = page.n_layouts
        page.progress.hide()
        await pilot.pause()
        assert page.n_layouts == before


async def test_only_lines_that_have_changed_are_painted_again() -> None:
    page = Page()
    async with page.run_test(size=(20, 10)) as pilot:
        page.say("one two three four five six seven eight nine ten")
        await pilot.pause()
        strips = page.painted
        page.say(" more")
        assert [region.y for region in page.markdown.regions] == [2]
        assert [region.height for region in page.markdown.regions] == [1]
        assert [now is before for now, before in zip(page.painted, strips, strict=True)] == [True, True, False]


async def test_a_line_is_painted_again_where_only_its_style_has_changed() -> None:
    page = Page()
    async with page.run_test(size=(20, 10)) as pilot:
        page.say("a title\n")
        await pilot.pause()
        before = page.painted[0]
        page.say("---")
        await pilot.pause()
        after = page.painted[0]
        assert before.text == after.text
        assert before != after


async def test_lines_that_are_no_more_are_painted_over() -> None:
    page, whole = Page(), Page()
    text = "word\n- "
    more = "\n\nmore\n\n---\n\nlast"
    async with whole.run_test(size=(20, 20)) as pilot:
        whole.say(text + more)
        await pilot.pause()
        expected = [strip.text for strip in whole.painted]
    async with page.run_test(size=(20, 20)) as pilot:
        page.say(text)
        await pilot.pause()
        page.say(more)
        await pilot.pause()
        assert [strip.text for strip in page.painted] == expected
        assert len(expected) == 7


async def test_rows_of_the_chat_are_rendered_as_textual_renders_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(size=(90, 30)) as driver:
        await driver.ask("First")
        await driver.keys("ctrl+t")  # the picker lies over the conversation where there is no room beside it
        compositor = driver.app.screen._compositor
        assert type(compositor) is not Compositor
        for crop in [
            Region(0, 0, 90, 1),
            Region(0, 3, 90, 5),
            Region(4, 3, 30, 5),
            Region(50, 20, 40, 9),
            Region(0, 0, 90, 30),
        ]:
            in_rows = crop.line_range.__contains__
            ours = _within(crop, compositor._render_chops(crop, in_rows))
            with monkeypatch.context() as patched:
                patched.setattr(type(compositor), "_get_renders", Compositor._get_renders)
                assert ours == _within(crop, compositor._render_chops(crop, in_rows))
            assert any(strip.text.strip() for strip in ours.values())


async def test_what_lies_behind_what_has_changed_is_not_rendered() -> None:
    async with chat(size=(120, 30)) as driver:
        await driver.ask("First")
        compositor = driver.app.screen._compositor
        changed = driver.app.query_one(Composer)
        renders = list(compositor._get_renders(changed.region.shrink((1, 1, 1, 1))))
        assert [region for region, _, _ in renders] == [changed.region]
        assert len(list(compositor._get_renders())) > 5


def _within(crop: Region, chops: Sequence[Mapping[int, Strip | None]]) -> dict[tuple[int, int], Strip]:
    """What is rendered of ``crop``."""
    strips = {(x, y): strip for y, line in enumerate(chops) for x, strip in line.items() if strip}
    return {(x, y): strip for (x, y), strip in strips.items() if crop.overlaps(Region(x, y, strip.cell_length, 1))}
