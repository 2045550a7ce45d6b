"""What becomes of the events of one request: text, progress, remarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.chat.session import LeftOut, Loading, Notice
from edgelora.tui.picks import pick_label
from edgelora.types import Finished, Prefilling, Token

if TYPE_CHECKING:
    from edgelora.chat.session import SessionEvent
    from edgelora.tui.picks import Pick
    from edgelora.tui.stage import AnswerView, Stage
    from edgelora.tui.state import ChatState


class Showing:
    """Shows an answer, or a re-reading, while it is made."""

    def __init__(self, state: ChatState, stage: Stage) -> None:
        self._state = state
        self._stage = stage

    async def take(self, event: SessionEvent, pick: Pick, view: AnswerView | None) -> None:
        """An event of a request under ``pick``; ``view`` is None for a re-reading."""
        match event:
            case Loading(name):
                self._stage.show_progress(f"Loading {name}", 0, 0)
            case Prefilling(_, done, total):
                self._stage.show_progress(self._reading_label(pick, view), done, total)
            case Token(_, text) if view:
                self._stage.hide_progress()
                await view.write(text)
            case Finished():
                self._state.context_used = event.prompt_tokens + event.completion_tokens
                if view:
                    await view.finish(event)
            case Notice(text):
                await self._stage.say("information", text)
            case LeftOut(turns, total):
                await self._stage.say("information", _left_out(turns, total))

    def _reading_label(self, pick: Pick, view: AnswerView | None) -> str:
        if view:
            return "Reading"
        if self._state.baked or self._state.settled == pick:
            return f"Re-reading under {self._state.label(pick)} · {self._state.key('stop')}: with the next message"
        former = pick_label(self._state.settled)
        return f"Re-reading under {pick_label(pick)} · {self._state.key('stop')}: back to {former}"


def _left_out(turns: int, total: int) -> str:
    more = "turn is" if turns == 1 else f"{turns} turns are"
    of = "" if total == turns else f" ({total} in all)"
    return f"The context is full: the oldest {more} left out from here on{of}."
