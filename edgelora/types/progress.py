"""How far something heavy is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something heavy is. ``total`` 0 means unknown; ``unit`` is what is counted."""

    stage: str
    done: int
    total: int
    unit: str = ""


class ReportProgress(Protocol):
    """Whoever wants to know how far something heavy is."""

    def __call__(self, progress: Progress) -> None:
        """Take note of ``progress``; must be quick and must not raise."""


def ignore_progress(progress: Progress) -> None:
    """The report of somebody who does not watch."""
