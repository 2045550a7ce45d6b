"""Reads both sides of a conversion and decides what goes where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgelora.gguf.facts import BaseFacts, layer_of, short_target
from edgelora.gguf.model_names import base_name_warning
from edgelora.gguf.split import read_joined
from edgelora.types import ReportProgress, ignore_progress
from edgelora_convert.assemble import Target, targets_of
from edgelora_convert.gather import gather
from edgelora_convert.layout.resolve import Resolver
from edgelora_convert.layout.tied import for_output
from edgelora_convert.problems import OTHER_BASE
from edgelora_convert.scales import LEAST_SCALE
from edgelora_convert.update import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgelora.gguf.header import Header
    from edgelora_convert.layout.placement import Piece
    from edgelora_convert.options import Options
    from edgelora_convert.problems import Problems
    from edgelora_convert.source import Naming, Source
    from edgelora_convert.update import Update


MAX_SCALE = 1e4
"""No user's scale is larger; the comparison also keeps out NaN and infinity."""


@dataclass(frozen=True)
class Plan:
    """A conversion: what is converted, against what, and what goes to which base tensor."""

    sources: tuple[Source, ...]
    header: Header
    base: BaseFacts
    targets: list[Target]


def make_plan(
    paths: Sequence[str | Path],
    base_path: Path,
    options: Options,
    problems: Problems,
    warnings: Problems,
    progress: ReportProgress = ignore_progress,
) -> Plan:
    """Read the base's header and the sources, and place every update.

    What speaks against the conversion goes to ``problems``. Raises ConversionError only where nothing more could be
    found out, and GGUFError where the base is not readable.
    """
    header = read_joined(base_path)
    base = BaseFacts.of(header)
    sources = tuple(gather(path, options, problems, warnings, progress) for path in paths)
    for source in sources:
        refuse_what_rules_out(source, base, problems)
    resolver = Resolver(header, base, problems)
    scales = options.scales or (1.0,) * len(sources)
    pieces = [
        piece
        for source, scale in zip(sources, scales, strict=True)
        for piece in pieces_of(source, scale, resolver, problems, warnings)
    ]
    kept = [piece for piece in pieces if options.keeps(piece.tensor.name)]
    if pieces:
        _check_choice(options, pieces, problems, warnings)
    if not kept and not problems:
        problems.refuse("no effect", why_nothing(pieces))
    for source in sources if problems else ():
        other = base_name_warning(source.base_name, base.names)
        if other:
            problems.first(other, OTHER_BASE)
    if any(source.only_merged for source in sources):
        problems.raise_if_any()  # nothing will be written, and what only a merge can hold may be too large to look at
    return Plan(sources, header, base, targets_of(kept))


def refuse_what_rules_out(source: Source, base: BaseFacts, problems: Problems) -> None:
    """What rules a source out before anything is placed: another architecture, and what only a merge can express."""
    check_architecture(source, base, problems)
    for cause, text in source.only_merged.items():
        problems.refuse(cause, text)


def check_architecture(source: Source, base: BaseFacts, problems: Problems) -> None:
    """A source that says what it is for must be for the base's architecture."""
    if source.arch not in ("", base.arch):
        text = f"it is for the architecture {source.arch!r}, the base is {base.arch!r}"
        problems.refuse("arch", text, OTHER_BASE)


def _completed(source: Source, resolver: Resolver) -> Source:
    """The source with its pending updates made."""
    made = (resolver.complete(pending, source.naming) for pending in source.pending)
    return replace(source, updates=(*source.updates, *filter(None, made)), pending=())


def pieces_of(
    source: Source, scale: float, resolver: Resolver, problems: Problems, warnings: Problems
) -> Iterator[Piece]:
    """All pieces of one source at a user's scale, with the base at hand; two updates of the same rows are a problem."""
    if not abs(scale) <= MAX_SCALE:
        problems.refuse("scale", f"the scale {scale:g} is not between {-MAX_SCALE:g} and {MAX_SCALE:g}")
        return
    taken: dict[tuple[str, int | None], list[Piece]] = {}
    updates = _completed(source, resolver).updates
    copies = _of_copies(updates) if resolver.output_is_a_copy else []
    for update, naming in [*((update, source.naming) for update in updates), *copies]:
        if abs(update.scale * scale) <= LEAST_SCALE:
            warnings.add(update.module, "its scale is 0, so it is left out")
            continue
        for piece in resolver.pieces(replace(update, scale=update.scale * scale), naming):
            others = taken.setdefault((piece.tensor.name, piece.stack), [])
            for other in others:
                if other.update.module != update.module and _overlap(piece, other):
                    problems.add(update.module, f"a second update of {piece.tensor.name}, beside {other.update.module}")
            others.append(piece)
            yield piece


def _of_copies(updates: Sequence[Update]) -> list[tuple[Update, Naming]]:
    """What was trained on one matrix for input and output, for the output of a base that holds it twice."""
    tied = [update for update in updates if update.tied]
    if any(update.kind is Kind.LINEAR for update in tied):  # the source has it for the output as well
        return []
    return [(for_output(update), "gguf") for update in tied]


def _overlap(one: Piece, other: Piece) -> bool:
    """Whether two pieces change some of the same rows."""
    return one.first < other.first + other.shape[0] and other.first < one.first + one.shape[0]


def _check_choice(options: Options, pieces: list[Piece], problems: Problems, warnings: Problems) -> None:
    """Modules and layers that were asked for and are not there."""
    modules, layers = _modules(pieces), {layer_of(piece.tensor.name) for piece in pieces}
    for module in sorted((options.modules or set()) - modules):
        problems.refuse(f"module {module}", f"it does not change {module}; it changes {', '.join(sorted(modules))}")
    missing = sorted((options.layers or set()) - layers)
    if missing:
        there = f"it changes layers {min(layers)} to {max(layers)}"
        warnings.refuse(
            "layers", f"{len(missing)} of the chosen layers, from {missing[0]} on, are not its own; {there}"
        )


def _modules(pieces: list[Piece]) -> set[str]:
    return {short_target(piece.tensor.name) for piece in pieces}


def why_nothing(pieces: list[Piece]) -> str:
    """Why nothing is left of a source that has these pieces."""
    if not pieces:
        return "every scale is 0, so the adapter would do nothing"
    layers = [layer_of(piece.tensor.name) for piece in pieces]
    return f"nothing of it is in what was chosen; it changes layers {min(layers)} to {max(layers)}"
