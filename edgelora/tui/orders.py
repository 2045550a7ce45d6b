"""In which order the picker lists adapters. Favourites come first in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgelora.adapters.entry import AdapterEntry
    from edgelora.tui.state import ChatState

ORDERS = {"name": "by name", "used": "last used first", "effect": "largest effect first"}


def next_order(order: str) -> str:
    """The order after ``order``, around and around."""
    names = list(ORDERS)
    return names[(names.index(order) + 1) % len(names)] if order in names else names[0]


def ordered(state: ChatState) -> list[AdapterEntry]:
    """The adapters of ``state`` as the remembered order wants them; what cannot be used comes last."""
    remembered = state.remembered

    def key(entry: AdapterEntry) -> tuple[bool, bool, float, str]:
        first = 0.0
        if remembered.order == "used":
            first = -remembered.used.get(entry.name, 0.0)
        elif remembered.order == "effect":
            status = state.status(entry)
            first = -status.effect if status else 1.0  # no effect is known, which is less than none
        return entry.name not in remembered.favourites, state.problem(entry) is not None, first, entry.name

    return sorted(state.entries, key=key)
