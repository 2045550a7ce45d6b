"""How an adapter looks in the picker: its row, and what is said about the highlighted one."""

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

BASE_DETAIL = "The base alone, without any adapter."
SCALE_CELLS = 10


def base_row(state: ChatState, draft: Draft) -> Content:
    """The first row. Beside a baked base the one without adapters is meant, unless there is none."""
    in_use = not draft.active if draft.mix is None else not draft.mix
    merged = state.base.baked if state.base and not state.baked else ()
    facts = f"{made_by_label(merged, ())} in its weights" if merged else "no adapter"
    return Content.assemble(_mark(in_use), (BASE_NAME, "bold"), "\n", (f"  {facts}", QUIET))


def adapter_row(entry: AdapterEntry, state: ChatState, draft: Draft) -> Content:
    """Name and scale; rank, size and state."""
    scale = draft.scale_of(entry.name)
    facts = f"  rank {entry.rank} · {size(entry.n_bytes)} · " if entry.rank else "  "
    return Content.assemble(
        _mark(draft.marked(entry.name)),
        (entry.name, "bold"),
        (f"  ×{format_scale(scale)}" if scale != 1.0 else "", "$text-accent"),
        "\n",
        (facts, QUIET),
        _state(entry, state),
    )


def adapter_detail(entry: AdapterEntry, state: ChatState, draft: Draft) -> Content:
    """What the highlighted row has no room for."""
    if _is_baked(entry, state):
        return Content("Baked into the base. Another choice goes back to the base with adapters.")
    problem = state.problem(entry)
    if problem:
        return Content.assemble((problem, "$text-error"))
    lines = [_scale_bar(draft.scale_of(entry.name)), Content(f"on {', '.join(entry.targets)}")]
    if entry.warning:
        lines.append(Content.styled(entry.warning, "$text-warning"))
    status = state.status(entry)
    if status:
        lines.append(Content(f"changes the logits by {status.effect:.0%}"))
    return Content("\n").join(lines)


def size(n_bytes: int) -> str:
    """``312 kB`` or ``1.4 MB``."""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 10**6 else f"{max(1, round(n_bytes / 1e3))} kB"


def _mark(marked: bool) -> tuple[str, str]:
    return ("● ", "$primary") if marked else ("○ ", FAINT)


def _state(entry: AdapterEntry, state: ChatState) -> tuple[str, str]:
    if _is_baked(entry, state):
        return "baked in", "$text-success"
    if state.problem(entry):
        return "cannot be used", "$text-error"
    if state.status(entry):
        return "resident", "$text-success"
    return "on disk", QUIET


def _is_baked(entry: AdapterEntry, state: ChatState) -> bool:
    return entry.name in [member.ref for member in state.baked]


def _scale_bar(scale: float) -> Content:
    filled = min(SCALE_CELLS * 2, max(0, round(scale * SCALE_CELLS)))
    without = "  without it" if scale == 0 else ""
    return Content.assemble(
        ("━" * filled, "$primary"),
        ("━" * (SCALE_CELLS * 2 - filled), "$panel-lighten-2"),
        f" ×{format_scale(scale)}{without}",
    )
