"""The screens about conversations, and what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from textual.app import SystemCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.screen import Screen

    from edgelora.tui.app import ChatApp
    from edgelora.tui.conductor import Conductor
    from edgelora.tui.continuing import Continuing
    from edgelora.tui.reopening import Reopening
    from edgelora.types import SamplingParams

T = TypeVar("T")


class Conversations:
    """Opens the screens over the chat. Each method but the commands runs in a worker, which can wait for a screen."""

    def __init__(self, app: ChatApp, conductor: Conductor, continuing: Continuing, reopening: Reopening) -> None:
        self._app = app
        self._conductor = conductor
        self._continuing = continuing
        self._reopening = reopening
        self._shown: Screen[Any] | None = None

    def commands(self) -> Iterator[SystemCommand]:
        """What the palette offers."""
        run = self._app.run_worker
        if self._reopening.archive():
            key = self._app.state.key("conversations")
            about = f"Search, rename, delete, export, import earlier conversations ({key})"
            yield SystemCommand("Open a conversation …", about, lambda: run(self.browse()))
        yield SystemCommand(
            "System prompt …", "What this conversation is told first", lambda: run(self.choose_system())
        )
        yield SystemCommand(
            "Sampling …", "Temperature, seed and others, for this conversation", lambda: run(self.choose_sampling())
        )

    @property
    def in_front(self) -> bool:
        """Whether one of the screens lies over the chat, whose keys mean nothing then."""
        return self._app.screen is self._shown

    async def browse(self) -> None:
        """Show earlier conversations, and open the one that is chosen."""
        archive = self._reopening.archive()
        if archive is None:
            self._app.notify("No history is kept: it is off in the settings.", timeout=3)
            return
        from edgelora.tui.history_screen import HistoryScreen

        chosen = await self._answer_of(HistoryScreen(archive, self._conductor.keeping.conversation))
        if chosen is not None:
            await self._reopening.open(chosen)

    async def choose_system(self) -> None:
        """Write a system prompt for this conversation."""
        from edgelora.tui.dialogs import SystemPromptDialog

        keeping = self._conductor.keeping
        text = await self._answer_of(SystemPromptDialog(keeping.system))
        if text is not None and text != keeping.system:
            await self._continuing.configure(text, keeping.sampling)

    async def choose_sampling(self) -> None:
        """Choose how the answers of this conversation are sampled."""
        from edgelora.tui.dialogs import SamplingDialog

        chosen = await self._answer_of(SamplingDialog(self._conductor.sampling(self._app.state.active)))
        if chosen is not None:
            sampling: SamplingParams | None = chosen[0]
            await self._continuing.configure(self._conductor.keeping.system, sampling)

    async def _answer_of(self, screen: Screen[T]) -> T:
        self._shown = screen
        answer = await self._app.push_screen_wait(screen)
        self._app.refresh_bindings()
        return answer
