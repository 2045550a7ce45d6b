"""What converting a source would come to, from headers alone: fast enough to show a list of adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.errors import ConversionError
from edgelora.gguf.facts import BaseFacts, short_target
from edgelora_convert.layout.resolve import Resolver
from edgelora_convert.problems import Problems
from edgelora_convert.sources.read import read_source

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.gguf.header import Header
    from edgelora_convert.source import Source


@dataclass(frozen=True)
class Preview:
    """An adapter before its conversion. ``targets`` are short names of base tensors; ``n_bytes`` is on disk.

    ``base_name`` is the model it says it was trained on. ``problems`` are the reasons against a conversion for this
    base that its values have no part in.
    """

    name: str
    rank: int = 0
    targets: tuple[str, ...] = ()
    n_bytes: int = 0
    base_name: str = ""
    example_prompt: str | None = None
    problems: tuple[str, ...] = ()


def preview(src: Path, base: Header) -> Preview:
    """Look at ``src`` without reading its values or writing anything."""
    problems = Problems(str(src))
    try:
        source = read_source(src, problems, Problems(str(src)))
        for cause, text in source.only_merged.items():
            problems.refuse(cause, text)
        targets = _targets(source, base, problems)
        n_bytes = sum(path.stat().st_size for path in source.files)
    except ConversionError as error:
        return Preview(src.stem, problems=error.problems)
    except OSError as error:  # gone while it was looked at
        return Preview(src.stem, problems=(f"it cannot be read ({error.strerror or error})",))
    return Preview(
        name=source.name,
        rank=max((update.rank for update in source.updates), default=0),
        targets=targets,
        n_bytes=n_bytes,
        base_name=source.base_name,
        example_prompt=source.texts.example_prompt,
        problems=tuple(problems.lines()),
    )


def _targets(source: Source, base: Header, problems: Problems) -> tuple[str, ...]:
    """Short names of the tensors it would change; what does not fit goes to ``problems``."""
    resolver = Resolver(base, BaseFacts.of(base), problems)
    pieces = (piece for update in source.updates for piece in resolver.pieces(update, source.naming))
    return tuple(dict.fromkeys(short_target(piece.tensor.name) for piece in pieces))
