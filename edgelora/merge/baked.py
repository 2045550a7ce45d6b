"""Bases with adapters baked in, in the user's cache: made once for each base, selection and precision."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import edgelora
from edgelora.adapters.convertible import is_converted_on_the_way
from edgelora.adapters.hashing import FileHashes
from edgelora.config import locations
from edgelora.errors import GGUFError, MergeError
from edgelora.gguf.baked_in import baked_into
from edgelora.gguf.hashes import fingerprint
from edgelora.gguf.reader import read_header
from edgelora.gguf.replacing import remove_abandoned
from edgelora.merge.apart import run_apart
from edgelora.merge.options import Options
from edgelora.types import Member, Selection, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgelora.merge.options import MergeMember, Precision
    from edgelora.merge.trade import Trade
    from edgelora.merge.verification import Verdict
    from edgelora.types import AttestedAdapter, ReportProgress

PATIENCE = 5.0
"""Seconds that a bake which is stopped gets to remove what it has written."""

NICENESS = 10

_REPORT = "edgelora.merge.report"


@dataclass(frozen=True, slots=True)
class BakedBase:
    """A file of the cache, as it describes itself. ``kept`` is the share of the adapters' change that is left in it;
    ``faster``, "merged", "adapter" or "either", is what a merge expects to answer faster here. ``verdict`` is that of
    its verification, None where there was none."""

    path: Path
    base: str
    adapters: tuple[AttestedAdapter, ...]
    precision: str
    kept: float
    base_bytes: int
    n_bytes: int
    faster: str
    made: datetime
    verdict: Verdict | None = None


class BakedBases:
    """The cache. Several processes may use it at once: files take their names when they are complete."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` defaults to the one in the user's cache."""
        self.folder = folder or locations.baked_dir()

    def find(
        self, base: Path, members: Sequence[MergeMember], precision: Precision = "auto", *, verified: bool = False
    ) -> BakedBase | None:
        """What was baked before of the same base, adapters and scales; only what was ``verified``, if that is wanted.

        Raises GGUFError or ConversionError where an input cannot be read, UsageError for an adapter given twice.
        """
        found = _described(self._path(base, members, precision))
        return None if found and verified and not found.verdict else found

    def bake(
        self,
        base: Path,
        members: Sequence[MergeMember],
        precision: Precision = "auto",
        report: ReportProgress = ignore_progress,
        announce: Callable[[Trade], None] = lambda trade: None,
        *,
        verify: bool = False,
    ) -> BakedBase:
        """Bake ``members`` into ``base``, unless that was done before; then nothing is announced either. Blocks.

        Without ``verify`` nothing is compared, which would take longer than baking: types are chosen so that the
        adapters stay. With it, what was baked without is baked anew; the verdict, whatever it is, is in what is given.
        What ``report`` or ``announce`` raises ends it; nothing is left behind then, nor after an error. Raises what
        :meth:`find` and :func:`edgelora.merge.merge.merge` raise.
        """
        from edgelora.merge.merge import merge

        found = self.find(base, members, precision, verified=verify)
        if found is None:
            path = self._path(base, members, precision)
            self._make_room()
            merge(base, members, path, Options(precision, verify=verify), report=report, announce=announce)
            found = _described(path)
        if found is None:
            raise MergeError(f"{path}: what was baked has vanished", "Was the cache cleared meanwhile? Try again.")
        return found

    def entries(self) -> tuple[BakedBase, ...]:
        """Everything in the cache, the latest first."""
        found = filter(None, map(_described, self.folder.glob("[!.]*.gguf")))
        return tuple(sorted(found, key=lambda entry: entry.made, reverse=True))

    def clear(self) -> int:
        """Remove everything, and give the bytes that were freed. Who has one open goes on with it."""
        freed = 0
        try:
            remove_abandoned(self.folder)
            for path in self.folder.glob("[!.]*.gguf"):
                size = path.stat().st_size
                path.unlink(missing_ok=True)
                freed += size
        except OSError as error:
            raise MergeError(f"{self.folder}: cannot be emptied ({error.strerror})") from None
        return freed

    def _path(self, base: Path, members: Sequence[MergeMember], precision: Precision) -> Path:
        selection = Selection.of(Member(_content(member.path), member.scale) for member in members)
        parts = [fingerprint(base), repr(selection), precision, edgelora.__version__]
        return self.folder / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}.gguf"

    def _make_room(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self.folder)
        except OSError as error:
            raise MergeError(f"{self.folder}: cannot be written ({error.strerror})") from None


def bake_apart(
    base: Path,
    members: Sequence[MergeMember],
    report: ReportProgress,
    announce: Callable[[Trade], None] = lambda trade: None,
    *,
    precision: Precision = "auto",
    verify: bool = False,
) -> BakedBase:
    """As :meth:`BakedBases.bake`, in a process of its own: a crash there is one error here."""
    return BakedBases().find(base, members, precision, verified=verify) or run_apart(
        "baking", _bake, base, tuple(members), precision, verify, report=report, announce=announce, patience=PATIENCE
    )


def _bake(
    base: Path,
    members: Sequence[MergeMember],
    precision: Precision,
    verify: bool,
    report: ReportProgress,
    announce: Callable[[Trade], None],
) -> BakedBase:
    os.nice(NICENESS)  # who chats or is served meanwhile goes first
    return BakedBases().bake(base, members, precision, report, announce, verify=verify)


def _content(path: Path) -> str:
    """The identity of an adapter in any form: the SHA-256 of its file, or over those of its folder."""
    from edgelora_convert.problems import Problems
    from edgelora_convert.sources.read import source_files

    hashes = FileHashes()
    if is_converted_on_the_way(path):
        return hashes.of_files(source_files(path, Problems(str(path))))
    return hashes.of_file(path)


def _described(path: Path) -> BakedBase | None:
    """The baked base at ``path``; None where there is none, or what is there does not say what it is."""
    try:
        header = read_header(path)
        report: dict[str, Any] = json.loads(header.get(_REPORT, ""))
        return BakedBase(
            path=path,
            base=str(report["base"]),
            adapters=baked_into(header),
            precision=str(report["precision"]),
            kept=float(report["adapter_kept"]),
            base_bytes=int(report["trade"]["base_bytes"]),
            n_bytes=header.file_size,
            faster=str(report["trade"]["faster"]),
            made=datetime.fromtimestamp(path.stat().st_mtime).astimezone(),
            verdict=report.get("verdict"),
        )
    except (GGUFError, OSError, ValueError, KeyError, TypeError):
        return None
