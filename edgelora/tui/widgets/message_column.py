"""A long column of messages: complete ones are drawn, what still changes or takes keys has a widget."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, cast

from textual.containers import VerticalScroll
from textual.scrollbar import ScrollBar
from textual.widget import Widget

from edgelora.tui.widgets.items import AnswerItem
from edgelora.tui.widgets.messages import Messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from textual.geometry import Region, Size
    from textual.layout import DockArrangeResult
    from textual.selection import Selection

    from edgelora.tui.widgets.items import Drawn, Item

NEAR = 2
"""Viewports before and after the visible one in which heights become known once it is painted."""


@dataclass(frozen=True, slots=True)
class Place:
    """A message, or a widget, and the line of the column that it begins at."""

    widget: Widget
    index: int
    y: int


class MessageColumn(VerticalScroll):
    """Keeps what is on the screen in its place while something changes above it, and follows the end while it is there.

    Its methods may be called one after the other, by the same task or by several that await each other.
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.items: list[Item] = []
        self._following = True
        self._held: Place | None = None  # what is on the screen
        self._regions: dict[Widget, Region] = {}  # as last arranged, in
        self._height = 0  # so many lines
        self._preparing = False
        self._changing = asyncio.Lock()
        self._growing: dict[AnswerItem, Widget] = {}  # what shows their texts

    @property
    def follows(self) -> bool:
        """Whether it stays at the end."""
        return self._following

    def drawing(self) -> list[Messages]:
        """Who draws what has no widget, from top to bottom."""
        return [child for child in self.children if isinstance(child, Messages)]

    async def append(self, item: Item) -> None:
        """One more at the end."""
        await self.insert(len(self.items), item)

    async def insert(self, index: int, item: Item) -> None:
        """One more at ``index``. A widget of it is there when this returns."""
        self.items.insert(index, item)
        await self.show_items()

    async def remove_from(self, index: int, items: Iterable[Item] = ()) -> None:
        """Take everything from ``index`` on away; ``items`` come instead."""
        self.items[index:] = items
        await self.show_items()

    async def discard(self, widget: Widget) -> None:
        """Take one item away."""
        self.items = [item for item in self.items if item.widget is not widget]
        await self.show_items()

    async def show(self, items: Iterable[Item]) -> None:
        """``items`` instead of all that is there, from their end."""
        self.follow()
        await self.remove_from(0, items)

    async def show_items(self) -> None:
        """Have the widgets that the items ask for: theirs, and one for those between two of them that are drawn."""
        async with self._changing:
            messages, selected = iter(self.drawing()), self._selected()
            wanted: list[Widget] = []
            for is_drawn, group in groupby(self.items, key=lambda item: item.widget is None):
                items = list(group)
                if is_drawn:
                    wanted.append(one := next(messages, None) or Messages())
                    one.show(cast("list[Drawn]", items))
                else:
                    wanted += [item.widget for item in items if item.widget]
            with self.app.batch_update():
                await self.remove_children([child for child in self.children if child not in wanted])
                for at, widget in enumerate(wanted):
                    if widget not in self.children:
                        after = (other for other in wanted[at:] if other in self.children)
                        await self.mount(widget, before=next(after, None))
            self._growing = {
                item: item.widget.body for item in self.items if isinstance(item, AnswerItem) and item.widget
            }
            self._select(selected)
        self._know()

    def follow(self) -> None:
        """Stay at the end from now on, until somebody scrolls up."""
        self._following = True
        self._know()
        self.refresh(layout=True)

    def redraw(self, item: Item) -> None:
        """Something that is drawn says something else now."""
        widget, _ = self._find(item)
        if isinstance(widget, Messages):
            widget.change(cast("Drawn", item))

    def _selected(self) -> dict[Item, Selection]:
        """What is selected of what is drawn, and of answers that grow, which are drawn when they are complete."""
        selections = self.screen.selections
        found: dict[Item, Selection] = {}
        for widget in self.drawing():
            if widget in selections:
                found.update(widget.selected(selections[widget]))
        return found | {item: selections[body] for item, body in self._growing.items() if body in selections}

    def _select(self, selected: dict[Item, Selection]) -> None:
        """Have the same selected, as far as it is still there, whoever shows it now."""
        if not selected:
            return
        there = {widget: at for widget, at in self.screen.selections.items() if widget.is_attached}
        for widget in self.drawing():
            there.pop(widget, None)
            if at := widget.selection_of(selected):
                there[widget] = at
        self.screen.selections = there

    # --- places

    def place_of(self, item: Item) -> tuple[int, int]:
        """The line that something in the column begins at, and how many it has; exactly if it is near the screen."""
        widget, index = self._find(item)
        height = widget.height_of(index) if isinstance(widget, Messages) else widget.virtual_region.height
        return self._y_of(widget, index), height

    def bring(self, item: Item, *, top: bool) -> None:
        """Scroll as far as an item is on the screen; of one that is higher than that the ``top``, or the end."""
        widget, index = self._find(item)
        if isinstance(widget, Messages):
            widget.aim(index, self._height)
            self._learn()
        y, height = self.place_of(item)
        last = y + height - self._height
        if last > y:
            self._scroll(y if top else last)
        else:
            self._scroll(min(max(round(self.scroll_y), last), y))

    def page(self, pages: int) -> None:
        """Scroll by so many screens, but two lines that stay; all that is scrolled over is known before."""
        if pages > 0 and self._following:
            return
        self._know(NEAR)
        self._scroll(max(0, round(self.scroll_y) + pages * max(1, self.size.height - 2)))

    def show_start(self) -> None:
        """Go to the beginning."""
        self.scroll_to(y=0, animate=False, immediate=True)

    def arrange(self, size: Size, optimal: bool = False) -> DockArrangeResult:
        """Arrange the widgets, and keep what is on the screen in its place."""
        if optimal:
            return super().arrange(size, optimal)
        self._height = size.height
        self._aim()
        arranged = super().arrange(size, optimal)
        self._regions = {placement.widget: placement.region for placement in arranged.placements}
        self._keep_place(arranged.total_region.bottom)
        return arranged

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow the end again once it is reached, and know what comes near."""
        super().watch_scroll_y(old_value, new_value)
        self._following = new_value >= self.max_scroll_y
        self._hold(round(new_value))
        self._know()
        if not self._preparing:
            self._preparing = self.call_after_refresh(self._prepare)

    def _prepare(self) -> None:
        """Know what comes next before anybody scrolls there."""
        self._preparing = False
        self._know(NEAR)

    def _keep_place(self, bottom: int) -> None:
        """Move with what is held, or with the end. Called within a layout, so that no frame shows anything else."""
        y = bottom - self._height if self._following else round(self.scroll_y) + self._moved()
        y = max(0, min(y, bottom - self._height))
        self._following = y >= bottom - self._height
        self._hold(y)
        self._set_y(y)

    def _know(self, reach: int = 1) -> None:
        """Know exact heights up to ``reach`` viewports from what is shown, which stays in its place meanwhile."""
        self._aim(reach)
        self._learn()

    def _learn(self) -> None:
        for widget in self.drawing():
            if widget.learn():
                widget.refresh(layout=True)
        if self._moved():
            y = round(self.scroll_y) + self._moved()
            self._hold(y)
            self._set_y(y)

    def _aim(self, reach: int = 1) -> None:
        """Say to those who draw what is near: what is held, and the ends that look towards it."""
        below = False
        for widget in self.children:
            is_held = self._held is not None and widget is self._held.widget and not self._following
            if isinstance(widget, Messages):
                index = self._held.index if self._held and is_held else 0 if below else len(widget.items) - 1
                widget.aim(index, reach * self._height)
            below |= is_held

    def _hold(self, y: int) -> None:
        """Hold what is at the line ``y``."""
        self._held = None
        for widget, begin, end in self._places():
            if end > y:
                index = widget.at(y - begin) if isinstance(widget, Messages) else 0
                self._held = Place(widget, index, self._y_of(widget, index))
                return

    def _moved(self) -> int:
        """How far what is held is from where it was."""
        held = self._held
        if held is None or held.widget not in self._regions:
            return 0
        if isinstance(held.widget, Messages) and held.index >= len(held.widget.items):
            return 0
        return self._y_of(held.widget, held.index) - held.y

    def _y_of(self, widget: Widget, index: int) -> int:
        begin = next((begin for other, begin, _ in self._places() if other is widget), 0)
        return begin + (widget.top(index) if isinstance(widget, Messages) else 0)

    def _places(self) -> Iterator[tuple[Widget, int, int]]:
        """Where widgets begin and end, with what has become known since they were arranged."""
        learnt = 0
        for widget in self.children:
            if region := self._regions.get(widget):
                begin = region.y + learnt
                learnt += widget.n_lines - region.height if isinstance(widget, Messages) else 0
                yield widget, begin, region.bottom + learnt

    def _scroll(self, y: int) -> None:
        """Also to what has become known since the layout, which Textual does not go beyond."""
        if y <= self.max_scroll_y:
            self.scroll_to(y=y, animate=False, immediate=True)
        else:
            self._following = False
            self._hold(y)
            self._set_y(y)
            self.refresh(layout=True)

    def _set_y(self, y: int) -> None:
        if y != self.scroll_y:
            self.set_reactive(Widget.scroll_y, y)
            self.set_reactive(Widget.scroll_target_y, y)
            self.vertical_scrollbar.set_reactive(ScrollBar.position, y)

    def _find(self, item: Item) -> tuple[Widget, int]:
        """Who shows an item, and as which of its messages."""
        if item.widget:
            return item.widget, 0
        return next((widget, widget.items.index(item)) for widget in self.drawing() if item in widget.items)
