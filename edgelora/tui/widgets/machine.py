"""What the machine is doing: memory by part, tokens a second, what runs and waits, the last swaps."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Sparkline, Static

from edgelora.tui.theme import QUIET, bar
from edgelora.tui.widgets.adapter_details import size

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.app import ComposeResult

    from edgelora.tui.metering import Meter
    from edgelora.types import EngineStats

EVERY = 1.0
"""Seconds between two looks, while the panel is shown."""
HISTORY = 60
BAR_CELLS = 10


class MachinePanel(Vertical):
    """Hidden until it is asked for; asks the engine for nothing while it is hidden."""

    def __init__(self, meter: Meter, ask: Callable[[], Awaitable[EngineStats | None]], *, id: str) -> None:
        """``ask`` gives None while there is no engine."""
        super().__init__(id=id)
        self._meter = meter
        self._ask = ask
        self._rates: deque[float] = deque([0.0] * HISTORY, maxlen=HISTORY)
        self._counted = (0.0, 0)

    def compose(self) -> ComposeResult:
        """Numbers, and the line of the last minute."""
        yield Static(id="memory", markup=False)
        yield Static(id="rate", markup=False)
        yield Sparkline(list(self._rates), summary_function=max)
        yield Static(id="swaps", markup=False)

    def on_mount(self) -> None:
        """Name the panel."""
        self.border_title = "Machine"
        self._looking = self.set_interval(EVERY, self.look, pause=True)

    async def toggle(self) -> None:
        """Show it, or hide it again."""
        self.toggle_class("-open")
        if self.has_class("-open"):
            self._counted = (time.monotonic(), self._meter.tokens)
            self._looking.resume()
            await self.look()
        else:
            self._looking.pause()

    async def look(self) -> None:
        """Ask the engine and show what it says."""
        stats = await self._ask()
        rate = self._rate()
        self._rates.append(rate)
        self.query_one(Sparkline).data = list(self._rates)
        running = f" · {stats.running} running, {stats.waiting} waiting" if stats else " · no engine"
        self.query_one("#rate", Static).update(Content.assemble((f"{rate:,.0f} tok/s", "bold"), (running, QUIET)))
        self.query_one("#memory", Static).update(_memory(stats) if stats else "")
        self.query_one("#swaps", Static).update(_swaps(self._meter))

    def _rate(self) -> float:
        (before, tokens), now = self._counted, time.monotonic()
        self._counted = now, self._meter.tokens
        return (self._meter.tokens - tokens) / max(now - before, 0.1)


def _memory(stats: EngineStats) -> Content:
    """One bar a part, against all that the engine takes."""
    parts = {
        "weights": stats.weights_bytes,
        "KV cache": stats.kv_bytes,
        f"pool ({stats.resident})": stats.pool_bytes,
        f"prepared ({stats.prepared})": stats.prepared_bytes,
        "parked": stats.kv.parked_bytes,
        "on disk": stats.kv.parked_on_disk_bytes,
    }
    total = sum(parts.values()) or 1
    lines = []
    for name, n_bytes in parts.items():
        filled = min(BAR_CELLS, -(-BAR_CELLS * n_bytes // total))
        taken = f"{size(n_bytes) if n_bytes else '-':>9}"
        lines.append(Content.assemble((f"{name:<13}", QUIET), *bar(filled, BAR_CELLS), taken))
    return Content("\n").join(lines)


def _swaps(meter: Meter) -> Content:
    lines = [
        Content.assemble((f"{swap.ms:>6,.0f} ms ", "bold"), (swap.what, QUIET)).truncate(34, ellipsis=True)
        for swap in reversed(meter.swaps)
    ]
    return Content("\n").join(lines or [Content.styled("no swaps yet", QUIET)])
