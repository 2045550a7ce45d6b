"""The adapter picker: type to filter, arrows to choose and to scale, Space to mix, Enter to use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from edgelora.adapters.selection import BASE_NAME
from edgelora.tui.picks import Draft, Pick, pick_label
from edgelora.tui.theme import QUIET
from edgelora.tui.widgets.adapter_rows import BASE_DETAIL, adapter_detail, adapter_row, base_row
from edgelora.tui.widgets.filter_input import FilterInput

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.widget import Widget

    from edgelora.tui.state import ChatState


class AdapterPicker(Vertical):
    """Shows the library; what its keys change is a draft until Enter. The filter has the focus, rows never do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "apply", "Use"),
        Binding("space", "mix", "Mix"),
        Binding("right,plus", "rescale(1)", "Scale", key_display="←→"),
        Binding("left,minus", "rescale(-1)", "Scale down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("escape", "leave", "Back"),
    ]

    @dataclass
    class Picked(Message):
        """Enter or a click chose these adapters."""

        pick: Pick

    def __init__(self, state: ChatState, home: Widget, *, id: str) -> None:
        """The focus goes back to ``home``."""
        super().__init__(id=id)
        self._state = state
        self._home = home
        self._draft = Draft()

    def compose(self) -> ComposeResult:
        """Filter, rows, details, and what Enter will do."""
        yield FilterInput(self._take_key, id="filter")
        rows = OptionList(id="rows", compact=True)
        rows.can_focus = False
        yield rows
        yield Static(id="detail", markup=False)
        yield Static(id="preview", markup=False)

    def on_mount(self) -> None:
        """Name the panel."""
        self.border_title = "Adapters"
        self.begin()

    def open(self) -> None:
        """Take the focus, and the place over the conversation where there is none beside it."""
        self.begin()
        self.add_class("-open")
        self.screen.set_focus(self._filter)

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

    def _clear_filter(self) -> None:
        with self.prevent(Input.Changed):
            self._filter.value = ""

    def _close(self) -> None:
        self.begin()
        self.remove_class("-open")
        self.screen.set_focus(self._home)

    def _take_key(self, key: str) -> bool:
        """Run what a key of the picker means. Gives whether it means anything."""
        match key:
            case "enter":
                self.action_apply()
            case "space":
                self.action_mix()
            case "right" | "plus":
                self.action_rescale(1)
            case "left" | "minus":
                self.action_rescale(-1)
            case "up":
                self.action_move(-1)
            case "down":
                self.action_move(1)
            case "escape":
                self.action_leave()
            case _:
                return False
        return True

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
        rows = {BASE_NAME: base_row(self._state, self._draft)} if wanted in BASE_NAME else {}
        return rows | {
            entry.name: adapter_row(entry, self._state, self._draft)
            for entry in self._state.entries
            if wanted in entry.name
        }

    def _describe(self) -> None:
        highlighted = self.highlighted
        entry = self._state.entry(highlighted)
        base = Content(BASE_DETAIL if self._rows.option_count else "")
        detail = adapter_detail(entry, self._state, self._draft) if entry else base
        self.query_one("#detail", Static).update(detail)
        nothing = self._draft.mix is None and not self._rows.option_count
        label = "no adapter of that name" if nothing else pick_label(self._draft.result(highlighted))
        self.query_one("#preview", Static).update(Content.assemble(("Enter: ", QUIET), (label, "bold")))
