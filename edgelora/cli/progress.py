"""Progress on stderr: a bar for what takes long, nothing for what does not, nothing where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    import rich.progress

    from edgelora.types import Progress

PATIENCE_S = 0.4
"""What ends sooner than this shows no bar."""


class ProgressBar:
    """A ReportProgress that draws on stderr while the ``with`` block runs. May be called from any thread."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._started = time.monotonic()
        self._bar: rich.progress.Progress | None = None
        self._tasks: dict[str, rich.progress.TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.clear()

    def __call__(self, progress: Progress) -> None:
        """Show one more step, if somebody watches and it has taken a while."""
        if not self._watched or (self._bar is None and time.monotonic() - self._started < PATIENCE_S):
            return
        bar = self._bar = self._bar or _new_bar()
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = bar.add_task(progress.stage)
        total = progress.total or None
        bar.update(self._tasks[progress.stage], completed=progress.done, total=total, unit=progress.unit)

    def clear(self) -> None:
        """Take the bar away, for something else to be printed."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._tasks = None, {}
        self._started = time.monotonic()


def _new_bar() -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
    bar.start()
    return bar
