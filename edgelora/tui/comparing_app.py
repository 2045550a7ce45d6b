"""The part of the chat's app that shows comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import App

from edgelora.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.tui.comparing import Columns as Picks
    from edgelora.tui.comparing import Comparing
    from edgelora.tui.picks import Pick
    from edgelora.tui.state import ChatState
    from edgelora.tui.widgets.columns import Columns


class ComparingApp(App[None], inherit_bindings=False):
    """Has a transcript to show columns in, and the chooser of what to compare."""

    state: ChatState
    _comparing: Comparing

    def action_compare(self) -> None:
        """Choose what to compare."""
        from edgelora.tui.widgets.columns_chooser import ColumnsChooser

        if not isinstance(self.screen, ColumnsChooser):
            self.push_screen(ColumnsChooser(self.state, self._comparing.suggestion()), self._compare)

    def on_composer_differences_asked(self) -> None:
        """Between the columns of the latest comparison."""
        from edgelora.tui.widgets.columns import Columns

        for columns in list(self.query(Columns))[-1:]:
            columns.action_differences()

    async def begin_columns(self, columns: Sequence[Pick], chosen: int) -> Columns:
        """Answers beside each other."""
        from edgelora.tui.widgets.columns import Columns

        tints = [self.state.tint([member.ref for member in pick]) for pick in columns]
        view = Columns([self.state.label(pick) for pick in columns], tints, chosen, self._comparing.choose)
        await self.query_one(Transcript).add(view)
        return view

    def _compare(self, columns: Picks | None) -> None:
        if columns:
            many = len(columns) > 1
            self.run_worker(self._comparing.begin(columns) if many else self._comparing.end(columns[0]))
