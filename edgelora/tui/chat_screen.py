"""The chat's screen, of which only rows are rendered that have something new in them, and there only what is in sight.

Textual renders every widget in full that lies in the same container as what has changed, and all that lies behind it;
while an answer streams, that is most of what the chat computes.
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
        crop = self.size.region if crop is None else crop
        rows = Region(0, crop.y, self.size.width, crop.height)
        before: list[Region] = []
        for widget, (region, clip) in self.visible_widgets.items():
            seen = region.intersection(clip)
            asked = seen.intersection(crop)
            if asked and not any(upper.contains_region(asked) for upper in before):
                seen = seen.intersection(rows)
                before.append(seen)
                yield region, seen, widget.render_lines(seen.translate(-region.offset))
