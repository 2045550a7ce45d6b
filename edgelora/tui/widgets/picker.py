"""The adapter picker: type to filter, arrows to choose and to scale, Space to mix, Enter to use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from edgelora.adapters.selection import BASE_NAME
from edgelora.tui.keys import take_key
from edgelora.tui.orders import ORDERS, next_order, ordered
from edgelora.tui.picks import Draft, Pick
from edgelora.tui.widgets.adapter_details import BASE_DETAIL, adapter_detail
from edgelora.tui.widgets.adapter_rows import adapter_row, base_row
from edgelora.tui.widgets.chips import Chips
from edgelora.tui.widgets.filter_input import FilterInput
from edgelora.tui.widgets.scale_bar import ScaleBar

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult
    from textual.widget import Widget

    from edgelora.tui.state import ChatState

USUAL_CELLS = 34
"""Of a row, before the first layout."""


class AdapterPicker(Vertical):
    """Shows the library; what its keys change is a draft until Enter. The filter has the focus, rows never do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "apply", "Use", id="picker.use"),
        Binding("space", "mix", "Mix", id="picker.mix"),
        Binding("right,plus", "rescale(1)", "Scale", key_display="←→", id="picker.more"),
        Binding("left,minus", "rescale(-1)", "Scale down", show=False, id="picker.less"),
        Binding("escape", "leave", "Back", id="picker.back"),
        Binding("up", "move(-1)", "Up", show=False, id="picker.up"),
        Binding("down", "move(1)", "Down", show=False, id="picker.down"),
        Binding("asterisk", "favourite", "Favourite", key_display="*", id="picker.favourite"),
        Binding("ctrl+s", "sort", "Sort", key_display="^s", id="picker.sort"),
        Binding("question_mark", "report", "Report", key_display="?", id="picker.report"),
    ]

    @dataclass
    class Picked(Message):
        """Enter or a click chose these adapters."""

        pick: Pick

    @dataclass
    class LookedAt(Message):
        """This is what Enter would use now; None when nobody looks any more."""

        pick: Pick | None

    @dataclass
    class ReportAsked(Message):
        """A person wants to know all about this adapter."""

        name: str

    def __init__(self, state: ChatState, home: Widget, *, id: str) -> None:
        """The focus goes back to ``home``."""
        super().__init__(id=id)
        self._state = state
        self._home = home
        self._draft = Draft()
        self._looked_at: Pick | None = None

    def compose(self) -> ComposeResult:
        """Filter, rows, details, and what Enter will do."""
        yield FilterInput(partial(take_key, self, self._state.keys), id="filter")
        rows = OptionList(id="rows", compact=True)
        rows.can_focus = False
        yield rows
        yield ScaleBar(id="scale")
        yield Static(id="detail", markup=False)
        yield Chips(id="preview", markup=False)

    def on_mount(self) -> None:
        """Name the panel."""
        self.border_title = "Adapters"
        self.begin()

    def on_resize(self, event: events.Resize) -> None:
        """Rows are as wide as the panel."""
        self._show(self.highlighted)

    def open(self) -> None:
        """Take the focus, and the place over the conversation where there is none beside it."""
        self.begin()
        self.add_class("-open")
        self.screen.set_focus(self._filter)
        self._look()

    def begin(self) -> None:
        """Forget what was not applied, and show everything."""
        self._draft.begin(self._state.active)
        names = [member.ref for member in self._state.active]
        self._clear_filter()
        self._show(names[0] if names else BASE_NAME)

    def refresh_rows(self) -> None:
        """Show the state anew. What is being mixed stays, unless something else was picked meanwhile."""
        if self._draft.active != self._state.active:
            self.begin()
        else:
            self._show(self.highlighted)

    @property
    def highlighted(self) -> str:
        """The name of the highlighted row; the base where nothing is."""
        option = self._rows.highlighted_option
        return (option.id or BASE_NAME) if option else BASE_NAME

    # --- what keys and the mouse do

    def action_apply(self) -> None:
        """Use the mixture, or the highlighted adapter alone."""
        self._show(self.highlighted)  # the filter may have changed since
        if self._draft.mix is not None or self._rows.option_count:  # no match is not the base
            self.post_message(self.Picked(self._draft.result(self.highlighted)))
            self._close()

    def action_mix(self) -> None:
        """Put the highlighted adapter into the mixture, or take it out, and show all for the next one."""
        self._show(self.highlighted)
        name = self.highlighted
        entry = self._state.entry(name)
        if not self._rows.option_count:
            return
        if entry is None or self._state.problem(entry) is None:
            self._draft.toggle(name)
            self._clear_filter()
            self._show(name)

    def action_rescale(self, steps: int) -> None:
        """Move the scale of the highlighted adapter."""
        self._show(self.highlighted)
        self._draft.rescale(self.highlighted, steps)
        self._show(self.highlighted)

    def action_move(self, by: int) -> None:
        """Highlight the next or the former row."""
        if by > 0:
            self._rows.action_cursor_down()
        else:
            self._rows.action_cursor_up()

    def action_favourite(self) -> None:
        """Make the highlighted adapter a favourite, or an ordinary one again."""
        self._show(self.highlighted)
        if self._state.entry(self.highlighted):
            self._state.remembered.toggle_favourite(self.highlighted)
            self._show(self.highlighted)

    def action_sort(self) -> None:
        """List in the next order."""
        self._state.remembered.choose(order=next_order(self._state.remembered.order))
        self._show(self.highlighted)

    def action_report(self) -> None:
        """Ask for all there is to say about the highlighted adapter."""
        self._show(self.highlighted)
        if self._state.entry(self.highlighted):
            self.post_message(self.ReportAsked(self.highlighted))

    def action_leave(self) -> None:
        """Go without a change; an unfinished mixture is dropped."""
        self._close()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the rows."""
        event.stop()
        self._show(self.highlighted)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Describe the row."""
        event.stop()
        self._describe()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click is Enter."""
        event.stop()
        self.action_apply()

    def on_scale_bar_moved(self, event: ScaleBar.Moved) -> None:
        """The mouse set the scale."""
        event.stop()
        self.action_rescale(event.steps)

    def on_chips_removed(self, event: Chips.Removed) -> None:
        """The mouse took an adapter out of the mixture."""
        event.stop()
        self._draft.toggle(event.name)
        self._show(self.highlighted)

    def on_descendant_blur(self) -> None:
        """Nobody looks any more."""
        if not self.has_focus_within:
            self._looked_at = None
            self.post_message(self.LookedAt(None))

    # --- the rest

    def _clear_filter(self) -> None:
        with self.prevent(Input.Changed):
            self._filter.value = ""

    def _close(self) -> None:
        self.remove_class("-open")
        self.screen.set_focus(self._home)
        self.begin()

    @property
    def _filter(self) -> Input:
        return self.query_one("#filter", Input)

    @property
    def _rows(self) -> OptionList:
        return self.query_one("#rows", OptionList)

    def _show(self, highlight: str) -> None:
        """Show rows and details; rows that stay as they were are left alone."""
        shown, rows = self._wanted_rows(), self._rows
        if list(shown) == [option.id for option in rows.options]:
            for option in rows.options:
                if option.prompt != shown[option.id or ""]:
                    rows.replace_option_prompt(option.id or "", shown[option.id or ""])
        else:
            rows.clear_options()
            rows.add_options(Option(row, name) for name, row in shown.items())
        names = list(shown)
        rows.highlighted = names.index(highlight) if highlight in names else (0 if names else None)
        self._describe()

    def _wanted_rows(self) -> dict[str, Content]:
        """Name to row of everything that the filter lets through."""
        wanted = self._filter.value.strip().lower()
        state, draft, cells = self._state, self._draft, self._rows.scrollable_content_region.width or USUAL_CELLS
        rows = {BASE_NAME: base_row(state, draft, cells)} if wanted in BASE_NAME else {}
        found = (entry for entry in ordered(state) if wanted in entry.name)
        return rows | {entry.name: adapter_row(entry, state, draft, cells) for entry in found}

    def _describe(self) -> None:
        highlighted = self.highlighted
        entry = self._state.entry(highlighted)
        base = Content(BASE_DETAIL if self._rows.option_count else "")
        self.query_one("#detail", Static).update(adapter_detail(entry, self._state) if entry else base)
        scaled = entry and self._state.problem(entry) is None
        self.query_one(ScaleBar).show_scale(self._draft.scale_of(highlighted) if scaled else None)
        self.border_subtitle = ORDERS.get(self._state.remembered.order, "")
        chips = self.query_one(Chips)
        if self._draft.mix is None and not self._rows.option_count:
            chips.show_nothing()
        else:
            pick, warm = self._draft.result(highlighted), self._state.warm
            chips.show_pick(pick, removable=self._draft.mix is not None)
            if warm and warm.pick == pick:
                self.border_subtitle = f"{warm.label} · {self.border_subtitle}"
        self._look()

    def _look(self) -> None:
        """Say what is looked at, where that has changed."""
        if not self.has_focus_within or not self._rows.option_count:
            return
        pick = self._draft.result(self.highlighted)
        if pick != self._looked_at:
            self._looked_at = pick
            self.post_message(self.LookedAt(pick))
