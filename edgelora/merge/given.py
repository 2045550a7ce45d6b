"""The adapters of a merge, in the two forms that it needs: what they change, and what llama.cpp applies at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import ConversionError, MergeError
from edgelora.gguf.fit import check_fit
from edgelora.gguf.reader import read_header
from edgelora.merge.carried import Carried, carried
from edgelora.merge.changes import TensorChange
from edgelora.merge.forward import AppliedAdapter
from edgelora.merge.layout import Zeros
from edgelora.merge.members import member_changes
from edgelora.merge.report import MergedAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgelora_convert.source import Source

    from edgelora.merge.base import Base, BaseTensor
    from edgelora.merge.options import MergeMember
    from edgelora.types import ReportProgress


@dataclass(frozen=True)
class Given:
    """All adapters of a merge together.

    ``files`` are what they were read from. ``changes`` is by tensor, in the order of the base, with those ``added``
    to it at the end. ``applied`` are GGUF adapters that do the same at run time; ``only_merged`` says what they
    leave out, if anything: then a merge cannot be verified against them. ``carried`` is what they bring into the
    file beside their changes.
    """

    adapters: tuple[MergedAdapter, ...]
    files: tuple[Path, ...]
    changes: Mapping[str, TensorChange]
    added: Mapping[str, BaseTensor | Zeros]
    applied: tuple[AppliedAdapter, ...]
    adapter_bytes: int
    carried: Carried
    only_merged: str = ""
    notes: tuple[str, ...] = ()


def read_given(base: Base, members: Sequence[MergeMember], folder: Path, report: ReportProgress) -> Given:
    """Read ``members`` in any form; what has to be converted to be applied goes to ``folder``.

    Raises MergeError or GGUFError where one cannot be used with ``base``.
    """
    if not members:
        raise MergeError("no adapter was given", "Name at least one.")
    found = member_changes(base, members, report)
    applied, left_out = _applied(base, members, found.sources, folder, report)
    named = list(zip(members, found.sources, strict=True))
    texts = carried([source for member, source in named if member.scale], base.header)
    return Given(
        adapters=tuple(_merged(member, source) for member, source in named),
        files=tuple(path for source in found.sources for path in source.files),
        changes=found.changes,
        added=found.added,
        applied=tuple(applied),
        adapter_bytes=sum(_n_bytes(source.files) for source in found.sources),
        carried=texts,
        only_merged=left_out,
        notes=(*found.warnings, *texts.notes),
    )


def _merged(member: MergeMember, source: Source) -> MergedAdapter:
    return MergedAdapter(member.name or source.name, str(member.path), source.sha256(), member.scale)


def _n_bytes(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def _applied(
    base: Base, members: Sequence[MergeMember], sources: Sequence[Source], folder: Path, report: ReportProgress
) -> tuple[list[AppliedAdapter], str]:
    """What llama.cpp can apply of those that do anything, and why not all."""
    applied: list[AppliedAdapter] = []
    left_out = ""
    for number, (member, source) in enumerate(zip(members, sources, strict=True)):
        if member.scale:
            try:
                path = _gguf(base, member, source, folder / f"{number}.gguf", report)
                applied.append(AppliedAdapter(path, member.scale))
            except ConversionError as error:
                reason = error.problems[0].partition("; ")[0]  # without the advice to merge it
                left_out = left_out or f"no adapter can do at run time what {source.name} does: {reason}"
    return applied, left_out


def _gguf(base: Base, member: MergeMember, source: Source, target: Path, report: ReportProgress) -> Path:
    """The adapter as a GGUF, converted to ``target`` if it is none. Raises ConversionError where it cannot be one."""
    if source.naming == "gguf":
        path = source.files[0]
        if problems := check_fit(read_header(path), base.header):
            raise ConversionError(source.name, problems)
        return path
    from edgelora_convert.convert import convert

    convert(str(member.path), base.path, target, progress=report)
    return target
