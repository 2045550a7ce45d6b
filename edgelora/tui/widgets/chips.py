"""What Enter will use, as chips that can be taken away one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message
from textual.style import Style
from textual.widgets import Static

from edgelora.adapters.selection import BASE_NAME, format_scale
from edgelora.tui.theme import QUIET

if TYPE_CHECKING:
    from edgelora.tui.picks import Pick


class Chips(Static):
    """``Enter:  legal ×0.7 ✕  medical ✕``; a click on a cross takes that one out."""

    @dataclass
    class Removed(Message):
        """This adapter should leave the mixture."""

        name: str

    def show_pick(self, pick: Pick, *, removable: bool) -> None:
        """The base where ``pick`` is empty. Only of a mixture something can be taken out."""
        chips = [Content.styled(BASE_NAME, "bold")]
        if pick:
            chips = [_chip(member.ref, member.scale, removable=removable) for member in pick]
        self.update(Content.assemble(("Enter: ", QUIET), Content(" ").join(chips)))

    def show_nothing(self) -> None:
        """There is nothing that Enter could use."""
        self.update(Content.assemble(("Enter: ", QUIET), "no adapter of that name"))

    def action_remove(self, name: str) -> None:
        """A cross was clicked."""
        self.post_message(self.Removed(name))


def _chip(name: str, scale: float, *, removable: bool) -> Content:
    label = name if scale == 1.0 else f"{name} {format_scale(scale)}"
    if not removable:
        return Content.styled(label, "bold")
    cross = Content.styled(" ✕", Style.from_meta({"@click": f"remove({name!r})"}))
    return Content.assemble(" ", (label, "bold"), cross, " ").stylize("on $panel")
