"""The columns of a comparison while a person picks them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgelora.adapters.selection import BASE_NAME, MemberText
from edgelora.tui.comparing import MOST, sweep
from edgelora.tui.picks import MAX_SCALE, SCALE_STEP, Pick, pick_label

if TYPE_CHECKING:
    from edgelora.tui.comparing import Columns


@dataclass
class ColumnDraft:
    """Picks in the order they were marked, and the scale that each adapter would be marked with next."""

    columns: list[Pick] = field(default_factory=list)
    scales: dict[str, float] = field(default_factory=dict)

    def pick(self, row: str) -> Pick:
        """What a row stands for: an adapter at its scale, or the base."""
        return () if row == BASE_NAME else (MemberText(row, self.scales.get(row, 1.0)),)

    def toggle(self, pick: Pick) -> bool:
        """Mark ``pick`` or take its mark away. Gives whether there was room."""
        if pick in self.columns:
            self.columns.remove(pick)
        elif len(self.columns) < MOST:
            self.columns.append(pick)
        else:
            return False
        return True

    def rescale(self, name: str, steps: int) -> None:
        """Move the scale that ``name`` would be marked with by ``steps`` of 0.1, between 0 and 2."""
        scale = self.scales.get(name, 1.0) + steps * SCALE_STEP
        self.scales[name] = round(min(max(scale, 0.0), MAX_SCALE), 2)

    def sweep(self, name: str) -> None:
        """Mark one adapter at several scales, and nothing else."""
        self.columns = list(sweep(name))

    def numbers(self, row: str) -> str:
        """Which columns a row is in, counted from 1."""
        own = [str(i) for i, pick in enumerate(self.columns, 1) if _row_of(pick) == row]
        return " ".join(own)

    def result(self, highlighted: Pick) -> Columns:
        """What Enter applies: what is marked, and the highlighted one where it makes two of one. One ends comparing."""
        with_it = [*self.columns, highlighted] if highlighted not in self.columns else self.columns
        return tuple(with_it if len(self.columns) < 2 else self.columns)


def _row_of(pick: Pick) -> str:
    return pick[0].ref if len(pick) == 1 else pick_label(pick)
