"""Answers to one prompt beside each other, or in tabs where columns would be too narrow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from edgelora.tui.differences import Marks, differences
from edgelora.tui.widgets.column import Column, Head
from edgelora.tui.widgets.frames import Frames
from edgelora.tui.widgets.streamed_markdown import next_step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.app import ComposeResult

    from edgelora.types import Finished

SHARE = 0.08
"""Of a core's time goes into pictures, at most."""
STEP = 8
"""Lines by which answers that grow are laid out higher."""
LEAST_WIDTH = 28
"""Cells of a column, its border among them; below that there are tabs."""


class Columns(Vertical, can_focus=True):
    """Two to four answers that stream at the same time. The conversation goes on from one of them.

    Implements ColumnsView. Columns are counted from 0; keys and heads count from 1.
    """

    FOCUS_ON_CLICK = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Choose", key_display="←→", id="columns.left"),
        Binding("right", "move(1)", "Choose", show=False, id="columns.right"),
        *(Binding(str(number), f"choose({number})", "Choose", show=False) for number in range(1, 5)),
        Binding("d", "differences", "Differences", id="columns.differences"),
        Binding("c", "copy", "Copy", id="columns.copy"),
        Binding("enter", "app.focus('composer')", "Go on", id="columns.go_on"),
    ]

    def __init__(
        self, labels: Sequence[str], tints: Sequence[int | None], chosen: int, on_choice: Callable[[int], None]
    ) -> None:
        """``on_choice`` is called when a person chooses a column."""
        super().__init__()
        self._on_choice = on_choice
        named = list(zip(range(1, len(labels) + 1), labels, tints, strict=True))
        self.columns = [Column(*column) for column in named]
        self._heads = [Head(*column) for column in named]
        self._hint = Static(classes="hint", markup=False)
        self.chosen = chosen
        self._former = int(chosen == 0)  # what was chosen before it
        self.is_open = True
        self.is_complete = False
        self.differing = False
        self._marking: object = None
        self._frames = Frames(self, self._paint, SHARE)

    def compose(self) -> ComposeResult:
        """Heads over answers; the heads are the tabs."""
        yield Horizontal(*self._heads, classes="heads")
        yield Horizontal(*self.columns, classes="answers")
        yield self._hint

    def on_mount(self) -> None:
        """Show what is chosen so far."""
        self.choose(self.chosen)

    def on_resize(self, event: events.Resize) -> None:
        """Tabs where columns would be too narrow."""
        in_tabs = event.size.width < LEAST_WIDTH * len(self.columns)
        if in_tabs != self.has_class("-tabs"):
            self.set_class(in_tabs, "-tabs")
            self._frames.ask()
            self._show_differences()

    # --- from the conductor of the comparison

    def write(self, column: int, text: str) -> None:
        """More text; it is painted with the next picture, as everything is."""
        self.columns[column].write(text)
        self._frames.ask()

    def finish(self, column: int, finished: Finished) -> None:
        """A column is complete; this is what made it."""
        self.columns[column].finish(finished)
        self._frames.ask()

    def fail(self, column: int, reason: str) -> None:
        """A column ended by an error, or was never asked."""
        self.columns[column].fail(reason)
        self._frames.ask()

    def choose(self, column: int) -> None:
        """Show which column the conversation goes on from."""
        if column != self.chosen:
            self.chosen, self._former = column, self.chosen
        for each in self.columns:
            each.set_class(each is self.columns[column], "-chosen")
        self._show_heads()
        self._frames.ask()
        self._show_differences()

    def close(self) -> None:
        """The conversation went on: nothing can be chosen any more."""
        self.is_open = self.can_focus = False
        self._show_hint()

    # --- keys and clicks

    async def on_key(self, event: events.Key) -> None:
        """Its letters and digits are keys; the transcript would take them for the composer."""
        if event.is_printable and event.key in self._bindings.key_to_bindings:
            event.stop()
            await self.run_action(self._bindings.key_to_bindings[event.key][0].action)

    def action_move(self, by: int) -> None:
        """Choose the next or the former column."""
        self.action_choose((self.chosen + by) % len(self.columns) + 1)

    def action_choose(self, number: int) -> None:
        """Choose a column by its number."""
        if self.is_open and number <= len(self.columns):
            self._on_choice(number - 1)

    def action_differences(self) -> None:
        """Mark where columns differ from the chosen one, once all have ended, or no longer.

        In tabs the chosen one is all there is to see; there it is marked where it differs from what was chosen before.
        """
        self.differing = not self.differing
        self._show_hint()
        self._show_differences()

    def action_copy(self) -> None:
        """Copy the answer of the chosen column."""
        self.app.copy_to_clipboard(self.columns[self.chosen].text)

    def on_head_clicked(self, event: Head.Clicked) -> None:
        """Choose what was clicked on."""
        event.stop()
        self.action_choose(event.number)

    # --- painting

    def _paint(self) -> None:
        in_tabs = self.has_class("-tabs")  # who is behind a tab can wait
        with self.app.batch_update():
            chosen = self.columns[self.chosen]
            shown = [each for each in self.columns if not in_tabs or each is chosen or each.has_ended]
            too_high = [column.paint() for column in shown]
            if any(too_high):
                height = next_step(max(column.body.n_lines for column in shown), STEP)
                for column in shown:  # at once, so that the next layout is the same for all
                    if not column.is_painted:
                        column.body.lay_out(height)
        complete = all(column.is_painted for column in self.columns)
        ended, self.is_complete = complete and not self.is_complete, complete
        self._show_heads()
        if ended:
            self._show_differences()

    def _show_heads(self) -> None:
        for index, (head, column) in enumerate(zip(self._heads, self.columns, strict=True)):
            state = "" if column.is_painted and not column.failed else "failed" if column.failed else "…"
            head.show(chosen=index == self.chosen, state=state)
        self._show_hint()

    def _show_hint(self) -> None:
        last = len(self.columns)
        hints = f"1-{last} go on from another column · ^d {'no ' if self.differing else ''}differences"
        hint = hints if self.is_open and self.is_complete else ""
        if hint != self._hint.content:
            self._hint.update(hint)
            self._hint.display = bool(hint)

    def _show_differences(self) -> None:
        if self.is_complete:
            self._marking = object()
            self.run_worker(self._mark_differences(self._marking))

    async def _mark_differences(self, marking: object) -> None:
        """Compare in a thread, because long answers take a moment; nothing where something newer is ``marking``."""
        texts, chosen = [column.body.texts for column in self.columns], self.chosen
        marks: list[Marks] = [{} for _ in texts]
        others = [self._former] if self.has_class("-tabs") else [i for i in range(len(texts)) if i != chosen]
        for other in others if self.differing else ():
            of_chosen, marks[other] = await asyncio.to_thread(differences, texts[chosen], texts[other])
            if len(others) == 1:
                marks[chosen] = of_chosen
        if marking is self._marking:
            for column, its_marks in zip(self.columns, marks, strict=True):
                column.body.mark(its_marks)
