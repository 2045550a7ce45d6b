"""Bakes adapters into a base: read, choose, say what it costs, write, verify."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import EdgeloraError, MergeError
from edgelora.gguf.baked_in import baked_into
from edgelora.merge.base import read_base
from edgelora.merge.calibrate import activations
from edgelora.merge.choosing import choose, retyped, target_types, unchanged, wants_moments
from edgelora.merge.given import read_given
from edgelora.merge.kept import together
from edgelora.merge.layout import plan_layout
from edgelora.merge.memory import PeakMemory
from edgelora.merge.metadata import fill_text
from edgelora.merge.options import Options
from edgelora.merge.originals import require_unchanged, states_of
from edgelora.merge.output import replacing, require_place
from edgelora.merge.report import MergeReport, by_kind
from edgelora.merge.source_base import read_source
from edgelora.merge.source_file import source_file
from edgelora.merge.stream import write_layout
from edgelora.merge.trading import trade_of
from edgelora.merge.untied import untied
from edgelora.merge.verify import verify
from edgelora.merge.verify_source import verify_source
from edgelora.merge.workspace import workspace
from edgelora.types import ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgelora.merge.base import Base
    from edgelora.merge.given import Given
    from edgelora.merge.layout import Rewrite
    from edgelora.merge.metadata import MetadataValue
    from edgelora.merge.options import MergeMember
    from edgelora.merge.originals import FileState
    from edgelora.merge.precision import Plan
    from edgelora.merge.report import MergedAdapter
    from edgelora.merge.source_base import SourceModel
    from edgelora.merge.trade import Trade
    from edgelora.merge.verification import Verification
    from edgelora.merge.verify_source import AgainstSource
    from edgelora.types import AttestedAdapter, ReportProgress

ENOUGH = 0.5
"""`same` is refused, unless it is forced, where less than this of what the adapters change would be left."""

REPORT_KEY = "edgelora.merge.report"
_ROOM = 4096  # bytes that a verification, and longer numbers, may add to the report in the file


def merge(
    base: Path,
    members: Sequence[MergeMember],
    out: Path,
    options: Options = Options(),  # noqa: B008  # frozen
    *,
    report: ReportProgress = ignore_progress,
    announce: Callable[[Trade], None] = lambda trade: None,
) -> MergeReport:
    """Write ``base`` with ``members`` baked in to ``out``, which is replaced in one step once all is done.

    ``announce`` is told what it costs before anything is written; what it or ``report`` raises ends the merge and
    leaves nothing behind. Blocks, uses all cores, and starts processes for what llama.cpp computes.

    Raises GGUFError, AdapterError or ConversionError where an input cannot be used, MergeError where a merge is
    refused or fails, EngineError where llama.cpp cannot run the base or the merged file.
    """
    require_place(out)
    with PeakMemory() as memory, workspace() as folder:
        with _timed() as planning:
            prepared = _prepare(base, members, out, options, folder, report)
        _require_enough(prepared, options)
        announce(prepared.trade)
        layout = plan_layout(prepared.base, prepared.rewrites, _metadata(prepared, out, options))
        with replacing(out, layout.size) as temporary:
            with _timed() as writing:
                write_layout(temporary, layout, threads=options.threads, report=report)
                require_unchanged(prepared.originals)
            with _timed() as verifying:
                found = _verified(prepared, out, temporary, options, report)
            require_unchanged(prepared.originals)
            times = (planning.seconds, writing.seconds, verifying.seconds)
            made = prepared.report(out, options, layout.size, memory.peak_bytes, times, *found)
            fill_text(temporary, REPORT_KEY, _embedded(made))
    return made


@dataclass(slots=True)
class _Timed:
    seconds: float = 0.0


@contextmanager
def _timed() -> Iterator[_Timed]:
    timed, began = _Timed(), time.monotonic()
    yield timed
    timed.seconds = time.monotonic() - began


@dataclass(frozen=True)
class _Prepared:
    """Everything that is known before the first byte is written."""

    base: Base
    source: SourceModel | None
    members: Given
    plans: Sequence[Plan]
    rewrites: Sequence[Rewrite]
    trade: Trade
    originals: Mapping[Path, FileState]

    def report(
        self,
        out: Path,
        options: Options,
        file_size: int,
        peak_memory_bytes: int,
        times: tuple[float, float, float],
        verification: Verification | None = None,
        against_source: AgainstSource | None = None,
    ) -> MergeReport:
        plan_s, write_s, verify_s = times
        return MergeReport(
            out=out,
            base=self.base.path,
            source=options.source,
            precision=options.precision,
            adapters=self.members.adapters,
            kinds=by_kind(self.base, self.plans),
            adapter_kept=together(plan.kept for plan in self.plans).share,
            trade=self.trade,
            file_size=file_size,
            peak_memory_bytes=peak_memory_bytes,
            plan_s=plan_s,
            write_s=write_s,
            verify_s=verify_s,
            verification=verification,
            against_source=against_source,
            carried=tuple(self.members.carried.entries),
            not_verified=_why_not(self.members, options),
            notes=self.members.notes,
        )


def _prepare(
    path: Path, given: Sequence[MergeMember], out: Path, options: Options, folder: Path, report: ReportProgress
) -> _Prepared:
    base = read_base(path)
    members = read_given(base, given, folder, report)
    types = target_types(base, options)
    source = read_source(options.source, base, _from_source(base, members, types)) if options.source else None
    files = [*(part.path for part in base.parts), *(source.files if source else ()), *members.files]
    _require_other_file(out, files, given)
    originals = states_of(files)
    moments = _moments(base, members, types, options, folder, report)
    plans = choose(
        base, members.changes, types, options, source=source, added=members.added, moments=moments, report=report
    )
    rewrites = [*(plan.rewrite() for plan in plans), *unchanged(members.added, members.changes)]
    if source is not None and types:
        rewrites += retyped(base, source, members.changes, types, moments)
    trade = trade_of(base, plans, rewrites, members, plan_layout(base, rewrites, {}).size)
    return _Prepared(base, source, members, plans, rewrites, trade, originals)


def _from_source(base: Base, members: Given, types: Mapping[str, str]) -> list[str]:
    """The tensors that change, or that get another type, and so are written from a source where there is one."""
    tensors = untied(base).tensors
    changed = [name for name in members.changes if name in tensors]  # a new bias has no values before
    retyped_too = [
        name for name, tensor in base.tensors.items() if types.get(name, tensor.type_name) != tensor.type_name
    ]
    return list(dict.fromkeys([*changed, *retyped_too]))


def _moments(
    base: Base, members: Given, types: Mapping[str, str], options: Options, folder: Path, report: ReportProgress
) -> Mapping[str, NDArray[np.float32]]:
    """What goes into the changed tensors while the base reads, where their codes are to be chosen with it."""
    if not wants_moments(types, members.changes, options):
        return {}
    names = list(types if options.source else members.changes)
    return activations(base.path, members.applied, names, folder, kind="full", threads=options.threads, report=report)


def _require_enough(prepared: _Prepared, options: Options) -> None:
    kept = prepared.trade.expected_kept
    if options.precision == "same" and kept < ENOUGH and not options.force:
        raise MergeError(
            f"only about {100 * kept:.0f} % of the adapter would be left in the types of the base",
            "Use --precision auto, which keeps it; or --force to write it all the same.",
        )


def _require_other_file(out: Path, read: Sequence[Path], members: Sequence[MergeMember]) -> None:
    adapters = [path for member in members for path in _files(member.path)]
    for path in [*read, *adapters]:
        if out.exists() and path.exists() and out.samefile(path):
            raise MergeError(f"{out}: this is one of the files that are merged", "Write to another file.")


def _files(adapter: Path) -> list[Path]:
    return list(adapter.iterdir()) if adapter.is_dir() else [adapter]


def _verified(
    prepared: _Prepared, out: Path, merged: Path, options: Options, report: ReportProgress
) -> tuple[Verification | None, AgainstSource | None]:
    if _why_not(prepared.members, options):
        return None, None
    base, applied, threads = prepared.base.path, prepared.members.applied, options.threads
    try:
        found = verify(base, applied, merged, threads=threads, report=report)
        if prepared.source is None:
            return found, None
        with source_file(prepared.source, prepared.base, out, threads=threads, report=report) as source:
            return found, verify_source(source, base, applied, merged, threads=threads, report=report)
    except EdgeloraError as error:
        error.hint = f"{error.hint} Nothing was written; --no-verify writes it unverified.".strip()
        raise


def _why_not(members: Given, options: Options) -> str:
    """Why there is no verification; empty where there is one."""
    if not options.verify:
        return "it was not asked for"
    return members.only_merged


def _metadata(prepared: _Prepared, out: Path, options: Options) -> dict[str, MetadataValue]:
    """What the merged file says about itself; the report gets its final words when all is known."""
    adapters: list[AttestedAdapter | MergedAdapter] = [*baked_into(prepared.base.header)]
    adapters += [adapter for adapter in prepared.members.adapters if adapter.scale]
    expected = prepared.report(out, options, prepared.trade.merged_bytes, 0, (0.0, 0.0, 0.0))
    entries: dict[str, MetadataValue] = {"edgelora.merge.precision": options.precision}
    entries |= prepared.members.carried.entries
    if adapters:
        entries["edgelora.merge.adapters"] = tuple(adapter.name for adapter in adapters)
        entries["edgelora.merge.sha256"] = tuple(adapter.sha256 for adapter in adapters)
        entries["edgelora.merge.scales"] = tuple(adapter.scale for adapter in adapters)
    return entries | {REPORT_KEY: " " * (len(_embedded(expected).encode()) + _ROOM)}


def _embedded(report: MergeReport) -> str:
    """The report as it goes into the file: without paths of this machine."""
    document = report.to_dict()
    document |= {"out": None, "base": report.base.name, "source": report.source and report.source.name}
    document["adapters"] = [adapter | {"path": None} for adapter in document["adapters"]]
    return json.dumps({key: value for key, value in document.items() if value is not None}, separators=(",", ":"))
