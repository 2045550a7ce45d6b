"""Earlier conversations: found, opened, renamed, deleted, exported, imported."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from edgelora.errors import HistoryError
from edgelora.tui.theme import QUIET
from edgelora.tui.widgets.closing_once import ClosingOnce
from edgelora.tui.widgets.welcome import tidy

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from textual.app import ComposeResult

    from edgelora.chat.history.records import ConversationInfo
    from edgelora.tui.archive import Archive, Form

Entry = Literal["search", "rename", "import"]
DAY = 86_400
SHOWN = 300
"""Rows at most; a search finds the others."""


class HistoryScreen(ClosingOnce[int | None]):
    """Gives the number of the conversation to open, or None. The search has the focus; keys are about the row."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "Open", id="conversations.open"),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Page up", show=False),
        Binding("pagedown", "move(10)", "Page down", show=False),
        Binding("f2", "rename", "Rename", id="conversations.rename"),
        Binding("f8", "delete", "Delete", id="conversations.delete"),
        Binding("f9", "undo", "Undo", id="conversations.undo"),
        Binding("f4", "export('markdown')", "Markdown", id="conversations.markdown"),
        Binding("f5", "export('json')", "JSON", id="conversations.json"),
        Binding("f6", "import", "Import", id="conversations.import"),
        Binding("escape,ctrl+o", "leave", "Back", key_display="esc", id="conversations.back"),
    ]

    def __init__(self, archive: Archive, current: int | None) -> None:
        """``current`` is the conversation that is open now."""
        super().__init__()
        self._archive = archive
        self._current = current
        self._found: tuple[ConversationInfo, ...] = ()
        self._deleted: list[int] = []  # until the screen is left
        self._entry: Entry = "search"
        self._searched = ""

    def compose(self) -> ComposeResult:
        """One line to write in, the conversations, and what happened."""
        with Vertical(id="history"):
            yield Input(placeholder="Type to search titles and texts", id="entry", compact=True)
            rows = OptionList(id="conversations", compact=True)
            rows.can_focus = False
            yield rows
            yield Static(id="said", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Show all."""
        self.query_one("#history").border_title = "Conversations"
        self._work(self._search())

    # --- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what means something now."""
        if action == "undo":
            return bool(self._deleted)
        if action in ("rename", "delete", "export"):
            return self._entry == "search" and self._highlighted is not None
        return action != "import" or self._entry == "search"

    def action_accept(self) -> None:
        """Open the conversation, or take what was written."""
        text, info = self._input.value.strip(), self._highlighted
        if self._entry == "import":
            self._write_for("search")
            self._work(self._import(text))
        elif self._entry == "rename":
            self._write_for("search")
            if info and text:
                self._work(self._rename(info.id, text))
        elif info:
            self.run_worker(self._finish(info.id))

    def action_leave(self) -> None:
        """Stop writing, empty the search, or go back to the chat."""
        if self._entry != "search":
            self._write_for("search")
        elif self._input.value:
            self._input.value = ""
        else:
            self.run_worker(self._finish(None))

    def action_move(self, by: int) -> None:
        """Highlight another row."""
        rows = self._rows
        if rows.option_count:
            rows.highlighted = max(0, min(rows.option_count - 1, (rows.highlighted or 0) + by))

    def action_rename(self) -> None:
        """Write another title."""
        if self._highlighted:
            self._write_for("rename", self._highlighted.title)

    def action_import(self) -> None:
        """Write the path of a file."""
        self._write_for("import")

    def action_delete(self) -> None:
        """Take the conversation off the list; it is forgotten when the screen is left."""
        info = self._highlighted
        if info and info.id == self._current:
            self._say("This conversation is open. Begin a new one first.")
        elif info:
            self._deleted.append(info.id)
            self._show()
            self._say(f"“{info.title}” is deleted. Undo brings it back as long as this list is open.")

    def action_undo(self) -> None:
        """Bring back what was deleted last."""
        if self._deleted:
            self._deleted.pop()
            self._show()
            self._say("It is back.")

    def action_export(self, form: Form) -> None:
        """Write the conversation into a file."""
        if self._highlighted:
            self._work(self._export(self._highlighted.id, form))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as it is typed."""
        event.stop()
        if self._entry == "search":
            self._work(self._search())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter, after all that was typed before it."""
        event.stop()
        self.action_accept()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click opens."""
        event.stop()
        self.action_accept()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Other keys may mean something now."""
        event.stop()
        self.refresh_bindings()

    # --- what they do

    async def _search(self) -> None:
        text = self._input.value.strip()
        found = await self._archive.list(text)
        if not self.is_current:  # left meanwhile
            return
        self._found = found
        self._show()
        if not self._found:
            nothing = "Nothing was found." if text else "No conversations yet. They are kept from the first message on."
            self._say(nothing)
        elif text != self._searched:
            self._say("")
        self._searched = text

    async def _rename(self, conversation: int, title: str) -> None:
        await self._archive.rename(conversation, title)
        await self._search()

    async def _export(self, conversation: int, form: Form) -> None:
        path = await self._archive.export(conversation, form, Path())
        self._say(f"Written: {tidy(path)}")

    async def _import(self, text: str) -> None:
        if text:
            number = await self._archive.take_in(Path(text).expanduser())
            await self._search()
            self._highlight(number)
            self._say(f"Imported from {tidy(Path(text).expanduser())}.")

    async def _finish(self, chosen: int | None) -> None:
        try:
            for conversation in self._deleted:
                if conversation != chosen:
                    await self._archive.delete(conversation)
            await self._archive.close()
        except HistoryError as error:
            self.app.notify(str(error), severity="error")
        self.dismiss(chosen)

    def _work(self, task: Coroutine[Any, Any, None]) -> None:
        self.run_worker(self._safely(task))

    async def _safely(self, task: Coroutine[Any, Any, None]) -> None:
        try:
            await task
        except HistoryError as error:
            self._say(str(error))

    # --- how it looks

    @property
    def _input(self) -> Input:
        return self.query_one("#entry", Input)

    @property
    def _rows(self) -> OptionList:
        return self.query_one("#conversations", OptionList)

    @property
    def _highlighted(self) -> ConversationInfo | None:
        option = self._rows.highlighted_option
        return next((info for info in self._found if option and str(info.id) == option.id), None)

    def _write_for(self, entry: Entry, text: str = "") -> None:
        self._entry = entry
        with self.prevent(Input.Changed):
            self._input.value = text if entry != "search" else self._searched
        self._input.placeholder = _PLACEHOLDERS[entry]
        self._input.cursor_position = len(self._input.value)
        self.query_one("#history").border_title = _TITLES[entry]
        self.refresh_bindings()

    def _show(self) -> None:
        rows, before = self._rows, self._rows.highlighted or 0
        shown = [info for info in self._found if info.id not in self._deleted][:SHOWN]
        rows.clear_options()
        rows.add_options(Option(_row(info, current=info.id == self._current), str(info.id)) for info in shown)
        rows.highlighted = min(before, len(shown) - 1) if shown else None
        self.query_one("#history").border_subtitle = f"Enter opens · {len(shown):,}"
        self.refresh_bindings()

    def _highlight(self, conversation: int) -> None:
        ids = [option.id for option in self._rows.options]
        if str(conversation) in ids:
            self._rows.highlighted = ids.index(str(conversation))

    def _say(self, text: str) -> None:
        self.query_one("#said", Static).update(text)


def _row(info: ConversationInfo, *, current: bool) -> Content:
    turns = "1 turn" if info.n_turns == 1 else f"{info.n_turns:,} turns"
    open_now = ("  open", "$primary") if current else ("", "")
    facts = " · ".join(part for part in (when(info.updated), turns, info.base) if part)
    return Content.assemble((info.title or "Untitled", "bold"), open_now, "\n", (f"  {facts}", QUIET))


def when(moment: float) -> str:
    """``today 14:05``, ``Tuesday 14:05`` within a week, else ``2026-03-01``, in this machine's time."""
    then, now = datetime.fromtimestamp(moment), datetime.now()
    days = (now.date() - then.date()).days
    if days == 0:
        return f"today {then:%H:%M}"
    if days == 1:
        return f"yesterday {then:%H:%M}"
    return f"{then:%A %H:%M}" if 0 < time.time() - moment < 6 * DAY else f"{then:%Y-%m-%d}"


_PLACEHOLDERS: dict[Entry, str] = {
    "search": "Type to search titles and texts",
    "rename": "Another title",
    "import": "Path of a conversation exported as JSON",
}
_TITLES: dict[Entry, str] = {
    "search": "Conversations",
    "rename": "Rename: Enter keeps it",
    "import": "Import: Enter reads it",
}
