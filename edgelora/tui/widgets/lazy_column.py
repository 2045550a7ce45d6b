"""A long column of which only what is near the viewport exists as widgets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from textual.containers import VerticalScroll
from textual.geometry import NULL_REGION
from textual.scrollbar import ScrollBar
from textual.widget import Widget
from textual.widgets import Static

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from textual.app import ComposeResult
    from textual.geometry import Region, Size
    from textual.layout import DockArrangeResult
    from textual.widget import AwaitMount

AT_ONCE = 3
"""Items made between two frames."""
NEAR = 1.0
FAR = 3.0
"""Viewports beyond the visible one: this much is made, and what is further away than that is let go."""


class Item(Protocol):
    """What a row of the column is made from."""

    lasting: bool
    """Whether its widget cannot be made again."""

    def build(self) -> Widget:
        """Its widget, not mounted yet."""


@dataclass(slots=True)
class _Row:
    item: Item
    widget: Widget | None = None


class LazyColumn(VerticalScroll):
    """Keeps what is on the screen in its place while rows come and go above it, and follows the end while it is there.

    Its methods may be called one after the other, by the same task or by several that await each other.
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rows: list[_Row] = []
        self._first = self._last = 0  # the rows that have widgets: from first up to, not including, last
        self._following = True
        self._held: tuple[Widget, int] | None = None
        self._regions: dict[Widget, Region] = {}  # as last arranged, in
        self._height = 0  # so many cells
        self._filling = False
        self._changing = asyncio.Lock()
        self._above = Static(classes="beyond", markup=False)
        self._below = Static(classes="beyond", markup=False)

    def compose(self) -> ComposeResult:
        """What is beyond, above and below the rows."""
        yield self._above
        yield self._below

    @property
    def follows(self) -> bool:
        """Whether it stays at the end."""
        return self._following

    @property
    def items(self) -> list[Item]:
        """All of it, oldest first."""
        return [row.item for row in self._rows]

    def widget_of(self, index: int) -> Widget | None:
        """The widget of an item, while it has one."""
        return self._rows[index].widget if 0 <= index < len(self._rows) else None

    def index_of(self, widget: Widget) -> int | None:
        """The item that ``widget`` was made from."""
        return next((i for i in range(self._first, self._last) if self._rows[i].widget is widget), None)

    async def append(self, item: Item) -> Widget:
        """One more at the end."""
        return await self.insert(len(self._rows), item)

    async def insert(self, index: int, item: Item) -> Widget:
        """One more at ``index``, near the end. Its widget is there when this returns."""
        if self._last < len(self._rows):
            await self.show_end()
        async with self._changing:
            after = self._rows[index].widget if index < len(self._rows) else self._below
            row = _Row(item, item.build())
            self._rows.insert(index, row)
            self._last += 1
            assert row.widget
            await self.mount(row.widget, before=after)
        return row.widget

    async def remove_from(self, index: int, items: Iterable[Item] = ()) -> None:
        """Take everything from ``index`` on away; ``items`` come instead."""
        async with self._changing:
            gone = [row.widget for row in self._rows[index:] if row.widget]
            self._rows[index:] = [_Row(item) for item in items]
            self._last = min(self._last, index)
            self._first = min(self._first, self._last)
            await self.remove_children(gone)
        self._show_beyond()
        self._fill_soon()

    async def discard(self, widget: Widget) -> None:
        """Take one item away."""
        async with self._changing:
            index = next((i for i, row in enumerate(self._rows) if row.widget is widget), None)
            if index is not None:
                del self._rows[index]
                self._first -= index < self._first
                self._last -= index < self._last
            await widget.remove()

    async def show(self, items: Iterable[Item]) -> None:
        """``items`` instead of all that is there, from their end."""
        await self.remove_from(0, items)
        await self.show_end()

    async def show_end(self) -> None:
        """Go to the end and follow it."""
        await self._jump(len(self._rows))
        self.follow()

    async def show_start(self) -> None:
        """Go to the beginning."""
        await self._jump(0)
        self._following = False
        self.scroll_to(y=0, animate=False, immediate=True)

    async def bring(self, index: int) -> Widget:
        """The widget of an item, made if it is not there."""
        if not self._first <= index < self._last:
            await self._jump(index)
        widget = self._rows[index].widget
        assert widget
        return widget

    def follow(self) -> None:
        """Stay at the end from now on, until somebody scrolls up."""
        self._following = True
        self.refresh(layout=True)

    # --- places

    def arrange(self, size: Size, optimal: bool = False) -> DockArrangeResult:
        """Arrange the rows, and keep what is on the screen in its place."""
        arranged = super().arrange(size, optimal)
        if not optimal:
            self._regions = {placement.widget: placement.region for placement in arranged.placements}
            self._height = size.height
            self._keep_place(arranged.total_region.bottom)
            self._fill_soon()
        return arranged

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow the end again once it is reached, and make what comes near."""
        super().watch_scroll_y(old_value, new_value)
        self._following = new_value >= self.max_scroll_y and self._last == len(self._rows)
        self._fill_soon()

    def _keep_place(self, bottom: int) -> None:
        """Move with what is held, or with the end. Called within a layout, so that no frame shows anything else."""
        y = round(self.scroll_y)
        if self._following:
            y = bottom - self._height
        elif self._held and self._held[0] in self._regions:
            y += self._regions[self._held[0]].y - self._held[1]
        y = max(0, min(y, bottom - self._height))
        regions = ((widget, region) for widget in self._made() if (region := self._regions.get(widget)))
        self._held = next(((widget, region.y) for widget, region in regions if region.bottom > y), None)
        if y != self.scroll_y:
            self.set_reactive(Widget.scroll_y, y)
            self.set_reactive(Widget.scroll_target_y, y)
            self.vertical_scrollbar.set_reactive(ScrollBar.position, y)

    # --- making and letting go

    async def _jump(self, index: int) -> None:
        """Have the rows around ``index``; what is near them comes with the next layouts."""
        if self._rows and not (self._first <= index < self._last or index == self._last == len(self._rows)):
            async with self._changing:
                await self._drop(self._rows[self._first : self._last])
                self._first = self._last = max(0, min(index, len(self._rows)) - AT_ONCE)
                await self._extend(self._first, min(len(self._rows), index + AT_ONCE))
        self._fill_soon()

    def _fill_soon(self) -> None:
        if not self._filling and self.is_mounted and self._wanted() != (self._first, self._last):
            self._filling = True
            self.run_worker(self._fill(), group="fill")

    async def _fill(self) -> None:
        """One step towards enough rows beside the viewport and none far away; its layout asks for the next."""
        try:
            async with self._changing:
                first, last = self._wanted()
                if first < self._first or last > self._last:
                    await self._extend(first, last)
                else:
                    await self._let_go(first, last)
        finally:
            self._filling = False
        self._fill_soon()

    def _wanted(self) -> tuple[int, int]:
        """The rows that should be there next, first and last. Those that are there until their layout is known."""
        first, last, height = self._first, self._last, self._height
        made = list(self._made())
        if any(widget not in self._regions for widget in made if widget.display):
            return first, last
        regions = [self._regions.get(widget, NULL_REGION) for widget in made]
        top, bottom = self.scroll_y, self.scroll_y + height
        end = max((region.bottom for region in regions), default=0)
        if top < NEAR * height and first > 0:
            return max(0, first - AT_ONCE), last
        if end - bottom < NEAR * height and last < len(self._rows):
            return first, min(len(self._rows), last + AT_ONCE)
        far_above = sum(1 for _ in takewhile(lambda region: region.bottom < top - FAR * height, regions))
        far_below = sum(1 for _ in takewhile(lambda region: region.y > bottom + FAR * height, reversed(regions)))
        return first + far_above, max(first + far_above, last - far_below)

    def _made(self) -> Iterator[Widget]:
        """The widgets of the rows that have them, oldest first."""
        return (row.widget for row in self._rows[self._first : self._last] if row.widget)

    async def _extend(self, first: int, last: int) -> None:
        """Make the rows from ``first`` to ``last`` that are not there yet."""
        mounting = [*self._make(self._last, last), *self._make(first, self._first)]
        self._first, self._last = first, last
        for mounted in mounting:
            await mounted
        self._show_beyond()

    def _make(self, first: int, last: int) -> Iterator[AwaitMount]:
        before = self._next_widget(last)
        for row in reversed(self._rows[first:last]):
            if row.widget:
                row.widget.display = True
            else:
                row.widget = row.item.build()
                yield self.mount(row.widget, before=before)
            before = row.widget

    async def _let_go(self, first: int, last: int) -> None:
        """Take the rows away that are not from ``first`` to ``last``."""
        gone = self._rows[self._first : first] + self._rows[last : self._last]
        self._first, self._last = first, last
        await self._drop(gone)
        self._show_beyond()

    async def _drop(self, rows: Iterable[_Row]) -> None:
        gone = []
        for row in rows:
            if row.widget and row.item.lasting:
                row.widget.display = False
            elif row.widget:
                gone.append(row.widget)
                row.widget = None
        await self.remove_children(gone)

    def _next_widget(self, index: int) -> Widget:
        """What a row before ``index`` is mounted before."""
        return next((row.widget for row in self._rows[index:] if row.widget), self._below)

    def _show_beyond(self) -> None:
        for line, count, what in ((self._above, self._first, "above"), (self._below, self._after, "below")):
            line.display = count > 0
            line.update(f"{count:,} more {what}")

    @property
    def _after(self) -> int:
        return len(self._rows) - self._last
