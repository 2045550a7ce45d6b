"""Any source on disk to the updates it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora_convert.peft.folder import read_peft
from edgelora_convert.sources.find import find_source

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora_convert.problems import Problems
    from edgelora_convert.source import Source


def read_source(src: Path, problems: Problems, warnings: Problems) -> Source:
    """Find out what ``src`` is, and read it.

    What speaks against a conversion goes to ``problems``. Raises ConversionError only where nothing more could be
    found out.
    """
    return read_peft(find_source(src, problems), problems, warnings)
