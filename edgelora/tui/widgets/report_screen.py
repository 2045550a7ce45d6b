"""All there is to say about an adapter, over the chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from edgelora.tui.widgets.adapter_details import adapter_detail
from edgelora.tui.widgets.closing_once import ClosingOnce

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from textual.app import ComposeResult

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.tui.state import ChatState


class ReportScreen(ClosingOnce[None]):
    """Closed by Escape, Enter or the key that opened it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,question_mark", "dismiss", "Back", key_display="esc", id="report.back")
    ]

    def __init__(self, entry: AdapterEntry, state: ChatState, conversion: Mapping[str, Any] | None) -> None:
        """``conversion`` is the report of its conversion, where it was converted on the way."""
        super().__init__()
        self._entry = entry
        self._state = state
        self._conversion = conversion

    def compose(self) -> ComposeResult:
        """Facts, then the conversion."""
        entry = self._entry
        with VerticalScroll(id="report"):
            yield Static(adapter_detail(entry, self._state), markup=False)
            places = [str(entry.path), f"sha256 {entry.sha256}" if entry.sha256 else "converted when it is chosen"]
            yield Static("\n".join(places), classes="quiet", markup=False)
            if self._conversion:
                yield Static("\n".join(_lines(self._conversion)), markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Name it."""
        box = self.query_one("#report")
        box.border_title = self._entry.name
        box.focus()


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"Converted for {report['base_name'] or report['arch']}: {report['n_pairs']} tensors change"
    for target in report["targets"]:
        ranks = ", ".join(map(str, target["ranks"]))
        change = target["relative_change"]
        size = f"changes it by {100 * change['least']:.2g} to {100 * change['most']:.2g} %" if change else ""
        fate = "ignored by llama.cpp" if target["ignored"] else size
        yield f"  {target['target']:<14} {len(target['layers']):>3} layers   rank {ranks:<6} {fate}"
    for warning in report["warnings"]:
        yield f"warning: {warning}"
