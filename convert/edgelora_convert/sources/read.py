"""Any source on disk to the updates it holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgelora_convert.peft.folder import read_peft
from edgelora_convert.sources.find import Found, GgufFile, MlxFolder, find_source
from edgelora_convert.sources.folder_texts import TEXT_FILES, texts_of
from edgelora_convert.sources.gguf_adapter import read_gguf
from edgelora_convert.sources.mlx import read_mlx

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora_convert.options import MoeBLayout
    from edgelora_convert.problems import Problems
    from edgelora_convert.source import Source


def read_source(src: Path, problems: Problems, warnings: Problems, moe_b_layout: MoeBLayout = "peft") -> Source:
    """Find out what ``src`` is, and read it.

    What speaks against a conversion goes to ``problems``. Raises ConversionError only where nothing more could be
    found out.
    """
    source = _read(find_source(src, problems), problems, warnings, moe_b_layout)
    if source.folder is None:
        return source
    return replace(source, texts=texts_of(source.folder, warnings))


def source_files(src: Path, problems: Problems) -> tuple[Path, ...]:
    """All files that a conversion of ``src`` depends on. Raises ConversionError where it is no adapter."""
    found = find_source(src, problems)
    if isinstance(found, GgufFile):
        return (found.path,)
    beside = (found.folder / name for name in TEXT_FILES)
    return (found.config, found.weights, *(path for path in beside if path.is_file()))


def _read(found: Found, problems: Problems, warnings: Problems, moe_b_layout: MoeBLayout) -> Source:
    if isinstance(found, GgufFile):
        return read_gguf(found, problems, warnings)
    if isinstance(found, MlxFolder):
        return read_mlx(found, problems, warnings)
    return read_peft(found, problems, warnings, moe_b_layout)
