"""Small dialogs about one conversation: what it is told first, and how its answers are sampled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Input, Label, Static, TextArea

from edgelora.errors import UsageError
from edgelora.tui.widgets.closing_once import ClosingOnce

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgelora.types import SamplingParams


class SystemPromptDialog(ClosingOnce[str | None]):
    """Gives the system prompt that was written, or None where nothing should change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "keep", "Use it", priority=True, id="system.use"),
        Binding("escape", "dismiss(None)", "Leave as it was", id="system.back"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """A text of any length."""
        with Vertical(classes="dialog"):
            area = TextArea(self._text, soft_wrap=True, show_line_numbers=False, tab_behavior="focus")
            area.placeholder = "For this conversation only. Empty: the adapter's own, or the base's."
            yield area
        yield Footer()

    def on_mount(self) -> None:
        """Name it."""
        self.query_one(".dialog").border_title = "System prompt of this conversation"

    def action_keep(self) -> None:
        """Use what was written."""
        self.dismiss(self.query_one(TextArea).text.strip())


class SamplingDialog(ClosingOnce["tuple[SamplingParams | None] | None"]):
    """Gives the sampling that was chosen, (None,) for the default, or None where nothing should change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "keep", "Use it", id="sampling.use"),
        Binding("ctrl+d", "default", "Default", priority=True, id="sampling.default"),
        Binding("up", "app.focus_previous", "Up", show=False),
        Binding("down", "app.focus_next", "Down", show=False),
        Binding("escape", "dismiss(None)", "Leave as it was", id="sampling.back"),
    ]

    def __init__(self, sampling: SamplingParams) -> None:
        super().__init__()
        self._sampling = sampling

    def compose(self) -> ComposeResult:
        """One line for each."""
        with Vertical(classes="dialog"):
            for name, (label, _, meaning) in FIELDS.items():
                with Horizontal(classes="field"):
                    yield Label(label)
                    value = getattr(self._sampling, name)
                    yield Input("" if value is None else str(value), id=name, compact=True)
                    yield Static(meaning, classes="meaning", markup=False)
            yield Static(id="wrong", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Name it."""
        self.query_one(".dialog").border_title = "Sampling of this conversation"
        self.query(Input).first().focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter, after all that was typed before it."""
        event.stop()
        self.action_keep()

    def action_keep(self) -> None:
        """Use what was written, if it is possible."""
        try:
            values: dict[str, Any] = {name: self._value(name) for name in FIELDS}
            chosen = replace(self._sampling, **values)
        except UsageError as error:
            self.query_one("#wrong", Static).update(error.message)
        else:
            self.dismiss((chosen,))

    def action_default(self) -> None:
        """What settings and base say."""
        self.dismiss((None,))

    def _value(self, name: str) -> float | int | None:
        text = self.query_one(f"#{name}", Input).value.strip()
        label, kind, _ = FIELDS[name]
        if not text and name in ("seed", "max_tokens"):
            return None
        try:
            return kind(text)
        except ValueError:
            raise UsageError(f"{label}: {text!r} is no {'whole ' if kind is int else ''}number") from None


FIELDS: dict[str, tuple[str, type[int] | type[float], str]] = {
    "temperature": ("Temperature", float, "0 always takes the likeliest"),
    "top_k": ("Top k", int, "0 is off"),
    "top_p": ("Top p", float, "1 is off"),
    "min_p": ("Min p", float, "0 is off"),
    "repeat_penalty": ("Repeat penalty", float, "1 is off"),
    "seed": ("Seed", int, "empty is random"),
    "max_tokens": ("Most tokens", int, "empty has no limit"),
}
"""Label, kind, and what a person should know, of what can be chosen for a conversation."""
