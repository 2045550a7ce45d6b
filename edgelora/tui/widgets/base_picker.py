"""Which base to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from edgelora.tui.theme import FAINT, QUIET
from edgelora.tui.widgets.adapter_details import size
from edgelora.tui.widgets.closing_once import ClosingOnce

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from edgelora.tui.bases import BaseChoice

HOW_TO_ADD = "More: edgelora bases add FILE.gguf, or a folder of bases as `bases` in the settings file."


class BasePicker(ClosingOnce[Path | None]):
    """Gives the chosen base, or None. What does not fit into memory is there, in grey, with the numbers."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Back", id="bases.back")]

    def __init__(self, choices: Sequence[BaseChoice], current: Path, free: int) -> None:
        """``free`` is what of the memory is free now, in bytes."""
        super().__init__()
        self._choices = choices
        self._current = current.resolve()
        self._free = free

    def compose(self) -> ComposeResult:
        """Two lines a base."""
        options = (
            Option(_row(choice, choice.path == self._current), str(choice.path), disabled=bool(choice.problem))
            for choice in self._choices
        )
        with Vertical(id="base-picker"):
            yield OptionList(*options, id="bases", compact=True)
            yield Static(HOW_TO_ADD, id="more-bases", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin with the base in use."""
        box = self.query_one("#base-picker")
        box.border_title = "Bases"
        box.border_subtitle = f"{size(self._free)} of memory are free"
        paths = [choice.path for choice in self._choices if not choice.problem]
        self.query_one(OptionList).highlighted = paths.index(self._current) if self._current in paths else 0
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        event.stop()
        self.dismiss(Path(event.option_id or ""))


def _row(choice: BaseChoice, current: bool) -> Content:
    mark = ("● ", "$primary") if current else ("○ ", FAINT)
    alias = f"  {choice.alias}" if choice.alias and choice.alias != choice.name else ""
    name = Content.assemble(mark, (choice.name, QUIET if choice.problem else "bold"), (alias, "$text-accent"))
    parts = [choice.facts, size(choice.n_bytes), f"needs about {size(choice.needs)} of memory" if choice.needs else ""]
    facts = Content.styled(" · ".join(filter(None, parts)), QUIET)
    if choice.problem:
        facts = Content.styled(choice.problem, "$text-error")
    return Content.assemble(name, "\n  ", facts)
