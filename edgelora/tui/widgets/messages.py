"""Messages that are complete, drawn by one widget: a widget each takes too long to make while somebody scrolls."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.geometry import Offset, Region
from textual.message import Message
from textual.selection import SELECT_ALL, Selection
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from edgelora.tui.heights import Heights
from edgelora.tui.painting import bare, paint
from edgelora.tui.theme import TINT_DEFAULTS
from edgelora.tui.widgets.items import AnswerItem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual import events
    from textual.geometry import Size

    from edgelora.tui.painting import Spans
    from edgelora.tui.rows import Line, Row
    from edgelora.tui.widgets.items import Drawn, Item

KEPT = 64
"""Drawings of messages that are kept; more than a screen shows at once."""
ROWS = 1 << 24
"""More rows than a message has. Places of a selection are numbered: message times this, plus row."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the rows of a message, as its styles say; lengths in cells."""

    ground: Style
    bar: Style | None
    left: int
    right: int
    width: int
    below: int

    @property
    def before(self) -> int:
        """To the left of the text."""
        return self.left + (self.bar is not None)

    @property
    def inner(self) -> int:
        """For the text."""
        return max(1, self.width - self.before - self.right)


@dataclass(slots=True)
class Drawing:
    """A message in a width."""

    rows: Sequence[Row]
    lines: Sequence[tuple[int, Line]]
    strips: dict[int, Strip] = field(default_factory=dict)


class Messages(Widget):
    """As high as its messages are. Those far from what is shown are about as high as their length says."""

    DEFAULT_CSS = "Messages { height: auto; width: 1fr; }"
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"messages--{name}" for name in ("prompt", "answer", "remark", "current")),
        *(f"messages--{severity}" for severity in ("information", "warning", "error")),
        *(f"messages--{tint}" for tint in TINT_DEFAULTS),
    }

    @dataclass
    class Clicked(Message):
        """A message was clicked on."""

        item: Drawn

    @dataclass
    class AlternativeAsked(Message):
        """The answer before (-1) or after (1) this one should be shown."""

        item: AnswerItem
        by: int

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Drawn] = []
        self.current: Drawn | None = None
        self._heights = Heights()
        self._width = 0
        self._near = 0  # the message whose neighbourhood is shown,
        self._reach = 0  # and how many lines before and after it
        self._drawings: dict[Drawn, Drawing] = {}  # those used last are last
        self._frames: dict[Sequence[str], Frame] = {}
        self._clicked = 0

    def show(self, items: Sequence[Drawn]) -> None:
        """Have these messages, at least one."""
        both = zip(self.items, items, strict=False)
        n_same = sum(1 for _ in takewhile(lambda pair: pair[0] is pair[1], both))
        if n_same == len(items) == len(self.items):
            return
        for gone in self.items[n_same:]:
            self._drawings.pop(gone, None)
        self.items[n_same:] = items[n_same:]
        self._estimate(n_same)
        self._near = min(self._near, len(items) - 1)
        self.refresh(layout=True)

    def change(self, item: Drawn) -> None:
        """A message says something else now."""
        self._drawings.pop(item, None)
        self._learn(self.items.index(item))
        self.refresh(layout=True)

    def light(self, item: Drawn | None) -> None:
        """Let one stand out as the current one."""
        before, self.current = self.current, item
        for each in (before, item) if before is not item else ():
            if each in self._drawings:
                self._drawings[each].strips.clear()
                index = self.items.index(each)
                self.refresh(Region(0, self.top(index), self._width, self.height_of(index)))

    # --- places

    @property
    def n_lines(self) -> int:
        """How high all of them are, as far as is known."""
        return self._heights.total

    def top(self, index: int) -> int:
        """The line that a message begins at."""
        return self._heights.top(index)

    def height_of(self, index: int) -> int:
        """How high a message is, without the room below it."""
        return self._heights[index] - self._frame(index).below

    def at(self, line: int) -> int:
        """The message that a line belongs to."""
        return self._heights.at(line)

    def aim(self, index: int, reach: int) -> None:
        """From now on a message is near what is shown, and others are up to ``reach`` lines before and after it."""
        self._near, self._reach = min(index, len(self.items) - 1), reach

    def learn(self) -> bool:
        """Know the exact heights of what is near; gives whether any is another than before."""
        if not self._width:
            return False
        changed = self._measure(self._near)
        for way in (range(self._near + 1, len(self.items)), range(self._near - 1, -1, -1)):
            left = self._reach
            for index in way:
                if left <= 0:
                    break
                changed |= self._measure(index)
                left -= self._heights[index]
        return changed

    # --- what Textual asks for

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """In lines, for a width in cells."""
        if width != self._width:
            self._width = width
            self._drawings.clear()
            self._frames.clear()
            self._estimate(0)
        self.learn()
        return self._heights.total

    def render_lines(self, crop: Region) -> list[Strip]:
        """These lines. Textual would keep every one that was ever seen."""
        self._styles_cache.clear()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line, painted once while it is near."""
        if not 0 <= y < self._heights.total:
            return Strip.blank(self._width, self.visual_style.rich_style)
        index = self.at(y)
        drawing, line = self._drawing(index), y - self.top(index)
        if line not in drawing.strips:
            drawing.strips[line] = self._paint(index, drawing, line)
        return drawing.strips[line]

    def notify_style_update(self) -> None:
        """Colours have changed."""
        super().notify_style_update()
        self._frames.clear()
        self._paint_again()

    def selection_updated(self, selection: Selection | None) -> None:
        """Other text is selected."""
        self._paint_again()

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """The selected text, unwrapped, and what comes after it."""
        parts = self.selected(selection)
        return "\n\n".join(_text(item, parts[item]) for item in self.items if item in parts), "\n"

    def selected(self, selection: Selection) -> dict[Item, Selection]:
        """What of each message is selected, in places of its own rows."""
        start, end = selection
        first, last = start.y // ROWS if start else 0, end.y // ROWS if end else len(self.items) - 1
        begin = Offset(start.x, start.y % ROWS) if start else None
        parts: dict[Item, Selection] = dict.fromkeys(self.items[first : last + 1], SELECT_ALL)
        if parts and begin:
            parts[self.items[first]] = Selection(begin, None)
        if parts and end:
            parts[self.items[last]] = Selection(begin if first == last else None, Offset(end.x, end.y % ROWS))
        return parts

    def selection_of(self, parts: Mapping[Item, Selection]) -> Selection | None:
        """The same back: from the first to the last of the messages in ``parts``, None where there is none."""
        found = [index for index, item in enumerate(self.items) if item in parts]
        if not found:
            return None
        start, end = parts[self.items[found[0]]].start, parts[self.items[found[-1]]].end
        x, y = start or (0, 0)
        end_x, end_y = end or (0, ROWS - 1)
        return Selection(Offset(x, _place(found[0], y)), Offset(end_x, _place(found[-1], end_y)))

    def text_select_all(self) -> None:
        """Select the message that was clicked on."""
        last = len(self._drawing(self._clicked).rows) - 1
        end = Offset(len(self._drawing(self._clicked).rows[last].text), _place(self._clicked, last))
        self.screen.selections = {self: Selection(Offset(0, _place(self._clicked, 0)), end)}

    def on_click(self, event: events.Click) -> None:
        """The first cells of the line below an answer are the way back to others, those after the count the way on."""
        self._clicked = index = self.at(event.y)
        item, drawing, line = self.items[index], self._drawing(index), event.y - self.top(index)
        self.post_message(self.Clicked(item))
        if isinstance(item, AnswerItem) and line < len(drawing.lines):
            row, text = drawing.lines[line]
            x = event.x - self._frame(index).before
            if row == len(drawing.rows) - 1 and text.pieces[0].at == 0 and 0 <= x < len(item.alternatives):
                self.post_message(self.AlternativeAsked(item, -1 if x < len(item.alternatives) // 2 else 1))

    def action_open_link(self, address: str) -> None:
        """A link was clicked on."""
        self.app.open_url(address)

    # --- heights

    def _estimate(self, begin: int) -> None:
        """Nothing is known of the messages from ``begin`` on."""
        self._heights.replace_from(begin, (self._about(index) for index in range(begin, len(self.items))))

    def _about(self, index: int) -> int:
        if not self._width:
            return 1
        frame = self._frame(index)
        return self.items[index].estimate(frame.inner) + frame.below

    def _measure(self, index: int) -> bool:
        return not self._heights.is_exact(index) and self._learn(index)

    def _learn(self, index: int) -> bool:
        return self._heights.learn(index, len(self._drawing(index).lines) + self._frame(index).below)

    # --- drawing

    def _frame(self, index: int) -> Frame:
        item = self.items[index]
        looks = (*item.looks, "messages--current") if item is self.current else item.looks
        if looks not in self._frames:
            self._frames[looks] = self._frame_of(looks)
        return self._frames[looks]

    def _frame_of(self, looks: Sequence[str]) -> Frame:
        styles, ground = self.get_component_styles(*looks), self.get_visual_style(*looks)
        kind, colour = styles.border_left
        _, beneath = self.background_colors
        bar = Style(background=ground.background, foreground=beneath + colour) if kind else None
        most = int(styles.max_width.value) if styles.max_width else self._width
        padding = styles.padding
        return Frame(ground, bar, padding.left, padding.right, min(most, self._width), styles.margin.bottom)

    def _drawing(self, index: int) -> Drawing:
        item = self.items[index]
        drawing = self._drawings.pop(item, None) or self._draw(index)
        self._drawings[item] = drawing
        if len(self._drawings) > KEPT:
            del self._drawings[next(iter(self._drawings))]
        return drawing

    def _draw(self, index: int) -> Drawing:
        rows, width = self.items[index].rows(), self._frame(index).inner
        return Drawing(rows, [(number, line) for number, row in enumerate(rows) for line in row.lines(width)])

    def _paint(self, index: int, drawing: Drawing, number: int) -> Strip:
        room = bare(self.visual_style)
        if number >= len(drawing.lines):
            last = len(drawing.rows) - 1
            style = room.rich_style_with_offset(len(drawing.rows[last].text), _place(index, last))
            return Strip([Segment(" " * self._width, style)], self._width)
        row, line = drawing.lines[number]
        frame, place, at = self._frame(index), _place(index, row), line.pieces[0].at
        padding = bare(frame.ground)
        begin = [Segment("▌", frame.bar.rich_style_with_offset(at, place))] if frame.bar else []
        begin.append(Segment(" " * frame.left, padding.rich_style_with_offset(at, place)))
        text = paint(line, place, frame.inner, frame.ground, self._spans(drawing.rows[row], place))
        end = [(frame.right, padding), (self._width - frame.width, room)]
        blanks = [Segment(" " * cells, style.rich_style) for cells, style in end if cells]
        return Strip([*begin, *text, *blanks]).adjust_cell_length(self._width)

    def _spans(self, row: Row, place: int) -> Spans:
        """What is selected in a row."""
        selected = self.text_selection.get_span(place) if self.text_selection else None
        if selected is None:
            return ()
        begin, end = selected
        style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
        return [(style, begin, len(row.text) if end < 0 else end)]

    def _paint_again(self) -> None:
        for drawing in self._drawings.values():
            drawing.strips.clear()
        self.refresh()


def _text(item: Drawn, selection: Selection) -> str:
    """What is selected of a message."""
    spans = ((row, selection.get_span(n)) for n, row in enumerate(item.rows()))
    return "\n".join(row.copied(span[0], len(row.text) if span[1] < 0 else span[1]) for row, span in spans if span)


def _place(message: int, row: int) -> int:
    return message * ROWS + row
