"""What is said about the highlighted adapter, under the list."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.content import Content

from edgelora.tui.widgets.adapter_rows import is_baked

if TYPE_CHECKING:
    from edgelora.adapters.entry import AdapterEntry
    from edgelora.tui.state import ChatState

BASE_DETAIL = "The base alone, without any adapter."


def adapter_detail(entry: AdapterEntry, state: ChatState) -> Content:
    """What the row has no room for: most important first, since small terminals show the first lines only."""
    if is_baked(entry, state):
        return Content("Baked into the base. Another choice goes back to the base with adapters.")
    problem = state.problem(entry)
    if problem:
        return Content.styled(problem, "$text-error")
    lines = []
    status = state.status(entry)
    if entry.warning:
        lines.append(Content.styled(entry.warning, "$text-warning"))
    if status and status.does_nothing:
        lines.append(Content.styled("changes nothing on this base", "$text-warning"))
    elif status:
        lines.append(Content(f"changes the logits by {100 * status.effect:.0f} %"))
    if entry.description:
        lines.append(Content(entry.description))
    version = f"version {entry.version} · " if entry.version else ""
    rank = f"rank {entry.rank} · " if entry.rank else ""
    lines.append(Content(f"{version}{rank}{size(entry.n_bytes)} · {_last_used(entry, state)}"))
    if entry.targets:
        lines.append(Content(f"on {', '.join(entry.targets)}"))
    if entry.trained_on and not entry.warning:
        lines.append(Content(f"trained on {entry.trained_on}"))
    return Content("\n").join(lines)


def size(n_bytes: float) -> str:
    """``312 kB``, ``1.4 MB`` or ``4.7 GB``."""
    if n_bytes >= 10**9:
        return f"{n_bytes / 1e9:.1f} GB"
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 10**6 else f"{max(1, round(n_bytes / 1e3))} kB"


def ago(seconds: float) -> str:
    """``just now``, ``5 min ago``, ``3 h ago`` or ``12 days ago``."""
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.0f} h ago"
    return f"{seconds / 86400:.0f} days ago"


def _last_used(entry: AdapterEntry, state: ChatState) -> str:
    used = state.remembered.used.get(entry.name)
    return f"used {ago(time.time() - used)}" if used else "never used"
