"""How adapters look in the picker's list: one row each, its name at the left and its state at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from edgelora.adapters.selection import BASE_NAME, format_scale
from edgelora.tui.picks import made_by_label
from edgelora.tui.theme import FAINT, QUIET

if TYPE_CHECKING:
    from edgelora.adapters.entry import AdapterEntry
    from edgelora.tui.picks import Draft
    from edgelora.tui.state import ChatState

FAVOURITE = "★"
EMPTY = Content()


def base_row(state: ChatState, draft: Draft, cells: int) -> Content:
    """The first row. Beside a baked base the one without adapters is meant, unless there is none."""
    in_use = not draft.active if draft.mix is None else not draft.mix
    merged = state.base.baked if state.base and not state.baked else ()
    facts = f"{made_by_label(merged, ())} in its weights" if merged else "no adapter"
    return _row(Content.assemble(_mark(in_use), (BASE_NAME, "bold")), Content.styled(facts, QUIET), cells)


def adapter_row(entry: AdapterEntry, state: ChatState, draft: Draft, cells: int) -> Content:
    """Name, scale and star; what is going on with it."""
    scale = draft.scale_of(entry.name)
    favourite = entry.name in state.remembered.favourites
    unusable = state.problem(entry) is not None
    extras = Content.assemble(
        (f"  ×{format_scale(scale)}" if scale != 1.0 else "", "$text-accent"),
        (f" {FAVOURITE}" if favourite else "", "$text-warning"),
    )
    left = Content.assemble(_mark(draft.marked(entry.name)), (entry.name, QUIET if unusable else "bold"))
    return _row(left, Content.styled(*_state(entry, state)), cells, extras)


def is_baked(entry: AdapterEntry, state: ChatState) -> bool:
    """Whether it is in the weights of the base that answers."""
    return entry.name in [member.ref for member in state.baked]


def _row(left: Content, right: Content, cells: int, extras: Content = EMPTY) -> Content:
    """What is too long is cut off ``left``; ``extras`` stay beside it."""
    beside = extras.cell_length + right.cell_length + 1
    shown = Content.assemble(left.truncate(max(cells - beside, cells // 3), ellipsis=True), extras)
    return Content.assemble(shown, " " * max(1, cells - shown.cell_length - right.cell_length), right)


def _mark(marked: bool) -> tuple[str, str]:
    return ("● ", "$primary") if marked else ("○ ", FAINT)


def _state(entry: AdapterEntry, state: ChatState) -> tuple[str, str]:
    if is_baked(entry, state):
        return "baked in", "$text-success"
    if state.problem(entry):
        return "cannot be used", "$text-error"
    warm = state.warm
    if warm and [member.ref for member in warm.pick] == [entry.name]:
        return warm.label, "$text-success" if warm.ready else "$text-accent"
    if entry.sha256 in state.loaded:
        return "resident", "$text-success"
    if entry.sha256 in state.prepared:
        return "in memory", "$text-primary"
    return ("new" if entry.name in state.fresh else "on disk" if entry.sha256 else "to convert"), QUIET
