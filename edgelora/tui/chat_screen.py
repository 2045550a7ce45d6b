"""The chat's screen, of which only the rows are rendered that have something new in them.

Textual renders every widget in full that lies in the same container as what has changed; while an answer streams, that
is most of what the chat computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual._compositor import Compositor
from textual.geometry import Region
from textual.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.strip import Strip


class ChatScreen(Screen[None]):
    """A screen as any other."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._compositor = _RowsCompositor()


class _RowsCompositor(Compositor):
    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """What can be seen of widgets within the rows of ``crop``: region, the part of it, its lines; upmost first."""
        rows = self.size.region if crop is None else Region(0, crop.y, self.size.width, crop.height)
        for widget, (region, clip) in self.visible_widgets.items():
            if seen := region.intersection(clip).intersection(rows):
                yield region, seen, widget.render_lines(seen.translate(-region.offset))
