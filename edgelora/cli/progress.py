"""Progress on stderr: a bar for what takes long, nothing for what does not, nothing where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

import click
from edgelora_convert.sources.hub.resuming import WAITING

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
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.clear()

    def __call__(self, progress: Progress) -> None:
        """Show one more step, if somebody watches and it has taken a while; that it waits for others is always said."""
        if progress.stage == WAITING:
            self._say_once(f"edgelora: {progress.stage}")
            return
        if not self._watched or (self._bar is None and time.monotonic() - self._started < PATIENCE_S):
            return
        bar = self._bar = self._bar or _new_bar()
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = bar.add_task(progress.stage, pace="")
        task, total = self._tasks[progress.stage], progress.total or None
        bar.update(task, completed=progress.done, total=total)
        if progress.unit == "bytes":
            bar.update(task, pace=_pace(next(shown for shown in bar.tasks if shown.id == task)))

    def clear(self) -> None:
        """Take the bar away, for something else to be printed."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._tasks = None, {}
        self._started = time.monotonic()

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.clear()
            click.echo(text, err=True)


def _new_bar() -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    pace = TextColumn("{task.fields[pace]}")
    bar = Progress(*columns, TimeElapsedColumn(), pace, console=Console(stderr=True), transient=True)
    bar.start()
    return bar


def _pace(task: rich.progress.Task) -> str:
    """How fast it goes, and how long it still takes: `212 MB/s, 0:08 left`."""
    if not task.speed or task.time_remaining is None:
        return ""
    minutes, seconds = divmod(round(task.time_remaining), 60)
    return f"{task.speed / 1e6:,.0f} MB/s, {minutes}:{seconds:02} left"
