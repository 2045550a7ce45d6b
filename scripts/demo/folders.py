"""Folders that are there whole or not at all."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def fill(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a folder beside the target, which then takes its name; does nothing if the target is there.

    A write that fails or is interrupted leaves no target, and its remains are cleared away by the next one.
    """
    if target.is_dir():
        return
    unfinished = target.with_name(f".{target.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write(unfinished)
    unfinished.rename(target)


def copy(source: Path, target: Path) -> None:
    """Make the target a copy of the source; what it held before is gone."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
