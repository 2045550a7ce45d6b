"""One line about the bake that goes on beside the conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.tui.picks import pick_label
from edgelora.tui.widgets.progress_line import ProgressLine

if TYPE_CHECKING:
    from edgelora.tui.state import ChatState


class BakingLine(ProgressLine):
    """Takes no room while nothing is baked."""

    def show_state(self, state: ChatState) -> None:
        """What is being baked in, and how far that is."""
        progress = state.baking_progress
        if not state.baking:
            self.hide()
            return
        stage = f" · {progress.stage}" if progress else ""
        label = f"Baking in {pick_label(state.baking)} · {state.key('stop')} stops it{stage}"
        self.show_progress(label, progress.done if progress else 0, progress.total if progress else 0)
