"""``bench merge``: what baking in takes, what it keeps, and how fast the result is beside the other ways."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from edgelora.bench.machine import describe_machine
from edgelora.bench.throughput import SEQUENCES, Throughput, throughputs
from edgelora.engine.core import EngineCore
from edgelora.errors import QuantizationError
from edgelora.merge.base import read_base
from edgelora.merge.given import read_given
from edgelora.merge.kept import together
from edgelora.merge.merge import merge
from edgelora.merge.options import MergeMember, Options, Precision
from edgelora.merge.precision import plan_forced
from edgelora.types import BASE, Progress, Selection

if TYPE_CHECKING:
    from edgelora.bench.subject import Subject
    from edgelora.merge.precision import Plan
    from edgelora.merge.report import MergeReport
    from edgelora.types import BaseInfo, EngineConfig, ReportProgress

TYPES = ("Q8_0", "Q6_K", "Q5_K", "Q4_K")
"""What is looked at in rows of a sample, without writing anything."""


@dataclass(frozen=True, slots=True)
class KeptIn:
    """What plain rounding to one type does to all changed tensors, estimated from some rows: see precision.Plan."""

    type_name: str
    kept: float
    median_loss: float
    nbytes: int


@dataclass(frozen=True, slots=True)
class BesideBase:
    """The speed of something, and that of the bare base, measured in turn with it."""

    own: Throughput
    base: Throughput


@dataclass(frozen=True, slots=True)
class MergeResult:
    """A whole ``bench merge``. ``speeds`` are of `adapter` at run time and of each precision that was merged."""

    machine: dict[str, str | int]
    base: BaseInfo
    subject: Subject
    base_bytes: int
    kept_in: tuple[KeptIn, ...]
    merges: tuple[MergeReport, ...]
    speeds: Mapping[str, BesideBase]


def measure(
    config: EngineConfig,
    subject: Subject,
    precisions: Sequence[Precision],
    source: Path | None,
    folder: Path,
    report: ReportProgress,
) -> MergeResult:
    """Merge ``subject`` in every precision into ``folder``, one file at a time, and measure.

    What `same` would lose is written too. Takes minutes on a large base. Raises what a merge and the engine raise.
    """
    threads = config.threads or psutil.cpu_count(logical=False) or 1
    config = replace(config, threads=threads, max_sequences=max(SEQUENCES), parked_folder=None)
    members = members_of(subject)
    kept_in = kept_by_type(config.base, members, folder, report)
    merges: list[MergeReport] = []
    speeds: dict[str, BesideBase] = {}
    for precision in precisions:
        out = folder / f"{precision}.gguf"
        merges.append(merge(config.base, members, out, Options(precision, source, force=True), report=report))
        _, speeds[precision] = _speed(config, replace(config, base=out), None, report)
        out.unlink()
    base, adapted = _speed(config, config, subject, report)
    return MergeResult(
        machine=describe_machine(threads),
        base=base,
        subject=subject,
        base_bytes=read_base(config.base).header.file_size,
        kept_in=kept_in,
        merges=tuple(merges),
        speeds={"adapter": adapted, **speeds},
    )


def members_of(subject: Subject) -> list[MergeMember]:
    """The adapters of a selection, as a merge takes them."""
    scales = {member.adapter: member.scale for member in subject.selection.members}
    return [MergeMember(file.path, scales[file.sha256], file.name) for file in subject.files]


def kept_by_type(
    path: Path, members: Sequence[MergeMember], folder: Path, report: ReportProgress
) -> tuple[KeptIn, ...]:
    """What is kept in each of TYPES, and in the base's own; types that cannot hold some tensor's rows are left out."""
    base = read_base(path)
    changes = read_given(base, members, folder, report).changes
    found = []
    for done, type_name in enumerate(("own", *TYPES)):
        report(Progress("what types keep", done, len(TYPES) + 1, "types"))
        try:
            plans = [
                plan_forced(tensor, changes[name], tensor.type_name if type_name == "own" else type_name)
                for name, tensor in base.tensors.items()
                if name in changes
            ]
        except QuantizationError:
            continue
        found.append(_kept_in(type_name, plans))
    return tuple(found)


def _kept_in(type_name: str, plans: Sequence[Plan]) -> KeptIn:
    losses = sorted(plan.loss for plan in plans)
    return KeptIn(
        type_name,
        kept=together(plan.expected for plan in plans).share,
        median_loss=losses[len(losses) // 2] if losses else math.nan,
        nbytes=sum(plan.nbytes for plan in plans),
    )


def _speed(
    of_base: EngineConfig, config: EngineConfig, subject: Subject | None, report: ReportProgress
) -> tuple[BaseInfo, BesideBase]:
    report(Progress(f"tokens per second of {config.base.name}", 0, 0))
    with closing(EngineCore(of_base, report)) as base, closing(EngineCore(config, report)) as core:
        for file in subject.files if subject else ():
            core.load(file)
        selection: Selection = subject.selection if subject else BASE
        return base.base, BesideBase(*throughputs([(core, selection), (base, BASE)]))
