"""The adapters of a merge, in the two forms that it needs: what they change, and what llama.cpp applies at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import MergeError
from edgelora.gguf.hashes import file_sha256
from edgelora.gguf.reader import read_header
from edgelora.merge.changes import ScaledAdapter, TensorChange, low_rank_changes
from edgelora.merge.forward import AppliedAdapter
from edgelora.merge.report import MergedAdapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.merge.base import Base
    from edgelora.merge.options import Member
    from edgelora.types import ReportProgress


@dataclass(frozen=True)
class Given:
    """All adapters of a merge together.

    ``changes`` is by tensor, in the order of the base. ``applied`` are GGUF adapters that do the same at run time;
    ``only_merged`` says what they leave out, if anything: then a merge cannot be verified against them.
    """

    adapters: tuple[MergedAdapter, ...]
    changes: Mapping[str, TensorChange]
    applied: tuple[AppliedAdapter, ...]
    adapter_bytes: int
    only_merged: str = ""
    notes: tuple[str, ...] = ()


def read_given(base: Base, members: Sequence[Member], folder: Path, report: ReportProgress) -> Given:
    """Read ``members`` in any form; what has to be converted goes to ``folder``.

    Raises AdapterError, ConversionError or GGUFError where one cannot be used with ``base``.
    """
    if not members:
        raise MergeError("no adapter was given", "Name at least one.")
    applied = [
        AppliedAdapter(_gguf(base, member.path, folder / f"{number}.gguf", report), member.scale)
        for number, member in enumerate(members)
    ]
    adapters = [
        MergedAdapter(member.name or member.path.stem, str(member.path), file_sha256(made.path), member.scale)
        for member, made in zip(members, applied, strict=True)
    ]
    changes = low_rank_changes(base, [ScaledAdapter(read_header(made.path), made.scale) for made in applied])
    return Given(
        adapters=tuple(adapters),
        changes=changes,
        applied=tuple(made for made in applied if made.scale),
        adapter_bytes=sum(made.path.stat().st_size for made in applied),
    )


def _gguf(base: Base, path: Path, target: Path, report: ReportProgress) -> Path:
    """The adapter as a GGUF, converted to ``target`` if it is none."""
    if path.is_file() and path.suffix.lower() == ".gguf":
        return path
    from edgelora_convert.convert import convert

    convert(path, base.path, target, progress=report)
    return target
