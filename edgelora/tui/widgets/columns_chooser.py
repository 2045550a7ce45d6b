"""Which picks answer beside each other: Space marks, arrows choose and scale, Enter compares."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from edgelora.adapters.selection import BASE_NAME, format_scale
from edgelora.tui.column_draft import ColumnDraft
from edgelora.tui.comparing import Columns, columns_label
from edgelora.tui.keys import take_key
from edgelora.tui.picks import pick_label
from edgelora.tui.theme import FAINT, QUIET
from edgelora.tui.widgets.closing_once import ClosingOnce
from edgelora.tui.widgets.filter_input import FilterInput

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgelora.tui.picks import Pick
    from edgelora.tui.state import ChatState


class ColumnsChooser(ClosingOnce[Columns | None]):
    """Gives the columns; a single one to end comparing, None to leave things as they are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "apply", "Compare", id="compare.use"),
        Binding("space", "mark", "Mark", id="compare.mark"),
        Binding("right,plus", "rescale(1)", "Scale", key_display="←→", id="compare.more"),
        Binding("left,minus", "rescale(-1)", "Scale down", show=False, id="compare.less"),
        Binding("ctrl+s", "sweep", "Sweep the scale", id="compare.sweep"),
        Binding("up", "move(-1)", "Up", show=False, id="compare.up"),
        Binding("down", "move(1)", "Down", show=False, id="compare.down"),
        Binding("escape", "leave", "Back", id="compare.back"),
    ]

    def __init__(self, state: ChatState, suggestion: Columns) -> None:
        super().__init__()
        self._state = state
        self._draft = ColumnDraft(list(suggestion))
        self._mixtures = {pick_label(pick): pick for pick in (*suggestion, state.active) if len(pick) > 1}

    def compose(self) -> ComposeResult:
        """Filter, rows, the columns, and what Enter will do."""
        with Vertical(id="chooser"):
            yield FilterInput(partial(take_key, self, self._state.keys), id="column-filter")
            rows = OptionList(id="column-rows", compact=True)
            rows.can_focus = False
            yield rows
            yield Static(id="column-chips")
            yield Static(id="column-preview")
        yield Footer()

    def on_mount(self) -> None:
        """Begin with what was compared last."""
        self.query_one("#chooser").border_title = "Compare: two to four answers beside each other"
        self._show()
        self.query_one(Input).focus()

    @property
    def highlighted(self) -> str:
        """The name of the highlighted row; empty where no row is left."""
        option = self._rows.highlighted_option
        return (option.id or "") if option else ""

    def action_apply(self) -> None:
        """Compare, or end comparing where a single one is marked."""
        self._show()  # the filter may have changed since
        if self._result():
            self.dismiss(self._result())

    def action_mark(self) -> None:
        """Make a column of the highlighted row at its scale, or take that one away."""
        self._show()
        if self.highlighted and self._draft.toggle(self._draft_pick()):
            self._clear_filter()
            self._show()

    def action_rescale(self, steps: int) -> None:
        """Move the scale that the highlighted adapter would be marked with."""
        self._show()
        if self._state.entry(self.highlighted):
            self._draft.rescale(self.highlighted, steps)
            self._show()

    def action_sweep(self) -> None:
        """The highlighted adapter at several scales."""
        self._show()
        if self._state.entry(self.highlighted):
            self._draft.sweep(self.highlighted)
            self._show()

    def action_move(self, by: int) -> None:
        """Highlight the next or the former row."""
        if by > 0:
            self._rows.action_cursor_down()
        else:
            self._rows.action_cursor_up()

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the rows."""
        event.stop()
        self._show()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say what Enter would do."""
        event.stop()
        self._show_result()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click marks."""
        event.stop()
        self.action_mark()

    @property
    def _rows(self) -> OptionList:
        return self.query_one(OptionList)

    def _draft_pick(self) -> Pick:
        return self._mixtures.get(self.highlighted) or self._draft.pick(self.highlighted)

    def _result(self) -> Columns:
        return self._draft.result(self._draft_pick()) if self.highlighted else ()

    def _clear_filter(self) -> None:
        with self.prevent(Input.Changed):
            self.query_one(Input).value = ""

    def _show(self) -> None:
        highlighted = self.highlighted
        wanted = self.query_one(Input).value.strip().lower()
        usable = [entry.name for entry in self._state.entries if not self._state.problem(entry)]
        names = [name for name in (BASE_NAME, *self._mixtures, *usable) if wanted in name]
        width = max(len(self._draft.numbers(name)) for name in names or [""]) + 2
        self._rows.clear_options()
        self._rows.add_options(Option(self._row(name, width), name) for name in names)
        self._rows.highlighted = names.index(highlighted) if highlighted in names else (0 if names else None)
        self._show_result()

    def _row(self, name: str, width: int) -> Content:
        scale = self._draft.scales.get(name, 1.0)
        numbers = self._draft.numbers(name)
        return Content.assemble(
            (f"{numbers or '○':<{width}}", "bold $primary" if numbers else FAINT),
            (name, "bold" if numbers else ""),
            (f"  ×{format_scale(scale)}" if scale != 1.0 else "", "$text-accent"),
        )

    def _show_result(self) -> None:
        result = self._result()
        chips = (Content.styled(" │ ", FAINT)).join(
            Content.assemble((f"{i} ", QUIET), pick_label(pick)) for i, pick in enumerate(self._draft.columns, 1)
        )
        self.query_one("#column-chips", Static).update(chips or Content.styled("Space marks a column.", QUIET))
        label = columns_label(result) if len(result) > 1 else f"{pick_label(result[0])} alone" if result else "nothing"
        self.query_one("#column-preview", Static).update(Content.assemble(("Enter: ", QUIET), (label, "bold")))
