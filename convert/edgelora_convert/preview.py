"""What converting a source would come to, from headers alone: fast enough to show a list of adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.errors import ConversionError
from edgelora.gguf.facts import BaseFacts, short_target
from edgelora_convert.assemble import Target, targets_of
from edgelora_convert.ignored import warn_of_ignored
from edgelora_convert.layout.resolve import Resolver
from edgelora_convert.plan import pieces_of, refuse_what_rules_out, why_nothing
from edgelora_convert.problems import Problems
from edgelora_convert.sources.read import read_source

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.gguf.header import Header
    from edgelora_convert.source import Source


@dataclass(frozen=True)
class Preview:
    """An adapter before its conversion. ``targets`` are short names of base tensors; ``n_bytes`` is on disk.

    ``rank`` is the largest that the converted one will have.
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
        targets = _targets(source, base, problems)
        n_bytes = sum(path.stat().st_size for path in source.files)
    except ConversionError as error:
        return Preview(src.stem, problems=error.problems)
    except OSError as error:  # gone while it was looked at
        return Preview(src.stem, problems=(f"it cannot be read ({error.strerror or error})",))
    return Preview(
        name=source.name,
        rank=max((target.rank for target in targets), default=0),
        targets=tuple(dict.fromkeys(short_target(target.name) for target in targets)),
        n_bytes=n_bytes,
        base_name=source.base_name,
        example_prompt=source.texts.example_prompt,
        problems=tuple(problems.lines()),
    )


def _targets(source: Source, header: Header, problems: Problems) -> list[Target]:
    """What goes to which tensor, as a conversion would have it; what speaks against it goes to ``problems``."""
    base, warnings = BaseFacts.of(header), Problems(source.name)
    refuse_what_rules_out(source, base, problems)
    pieces = list(pieces_of(source, 1.0, Resolver(header, base, problems), problems, warnings))
    if not pieces and not problems:
        problems.refuse("no effect", why_nothing(pieces))
    targets = targets_of(pieces)
    warn_of_ignored(base.arch, [target.name for target in targets], problems, warnings)
    return targets
