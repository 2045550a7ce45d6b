"""What a merge did, in numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelora.gguf.facts import short_target
from edgelora.merge.kept import together

if TYPE_CHECKING:
    from edgelora.merge.base import Base
    from edgelora.merge.precision import Plan
    from edgelora.merge.trade import Trade
    from edgelora.merge.verification import Verdict, Verification
    from edgelora.merge.verify_source import AgainstSource


@dataclass(frozen=True, slots=True)
class MergedAdapter:
    """An adapter that was baked in. ``sha256`` is of its file, or of all files of a folder."""

    name: str
    path: str
    sha256: str
    scale: float


@dataclass(frozen=True, slots=True)
class KindReport:
    """All changed tensors of one kind, such as attn_q, that were stored in one type.

    ``base_types`` is empty for tensors that the base lacks. ``kept`` is the share of the change that is there after
    rounding; ``loss`` the largest expected error of a tensor's output, relative to what the adapters change in it, both
    squared.
    """

    kind: str
    n_tensors: int
    base_types: tuple[str, ...]
    type_name: str
    methods: tuple[str, ...]
    base_bytes: int
    nbytes: int
    kept: float
    loss: float


@dataclass(frozen=True, slots=True)
class MergeReport:
    """A finished merge.

    ``peak_memory_bytes`` is anonymous memory, of all processes of the merge together; times are in seconds.
    ``verification`` is None where it was skipped, for the reason in ``not_verified``. ``against_source`` is there too
    where a source was given. ``carried`` names the metadata that the adapters brought into the file.
    """

    out: Path
    base: Path
    source: Path | None
    precision: str
    adapters: tuple[MergedAdapter, ...]
    kinds: tuple[KindReport, ...]
    adapter_kept: float
    trade: Trade
    file_size: int
    peak_memory_bytes: int
    plan_s: float
    write_s: float
    verify_s: float
    verification: Verification | None
    against_source: AgainstSource | None
    carried: tuple[str, ...] = ()
    not_verified: str = ""
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """Is it as good as the adapters at run time? None where nobody looked.

        From a source it is where it passes either comparison: both files are roundings of that.
        """
        found = self.verification.verdict if self.verification else None
        if self.against_source and self.against_source.passed and found != "no effect":
            return "passed"
        return found

    @property
    def broke_its_promise(self) -> bool:
        """Was `auto` to keep the adapter, and did not?"""
        return self.precision == "auto" and self.verdict == "failed"

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints; figures of a verification are null where there was none."""
        found = self.verification
        trade = asdict(self.trade) | {"faster": self.trade.faster}
        return {
            "out": str(self.out),
            "base": str(self.base),
            "source": str(self.source) if self.source else None,
            "precision": self.precision,
            "adapters": [asdict(adapter) for adapter in self.adapters],
            "kl_merged": found.kl_merged if found else None,
            "kl_effect": found.kl_effect if found else None,
            "top1_merged": found.top1_merged if found else None,
            "top1_effect": found.top1_effect if found else None,
            "verdict": self.verdict,
            "verification": asdict(found) if found else None,
            "against_source": asdict(self.against_source) if self.against_source else None,
            "not_verified": self.not_verified or None,
            "adapter_kept": self.adapter_kept,
            "carried": list(self.carried),
            "tensors": [asdict(kind) for kind in self.kinds],
            "trade": trade,
            "file_size": self.file_size,
            "peak_memory_bytes": self.peak_memory_bytes,
            "plan_s": self.plan_s,
            "write_s": self.write_s,
            "verify_s": self.verify_s,
            "notes": list(self.notes),
        }


def by_kind(base: Base, plans: Sequence[Plan]) -> tuple[KindReport, ...]:
    """One row for each kind of tensor and type, in the order of the base."""
    groups: dict[tuple[str, str], list[Plan]] = {}
    for plan in plans:
        groups.setdefault((short_target(plan.tensor.name), plan.type_name), []).append(plan)
    return tuple(_kind(base, kind, type_name, members) for (kind, type_name), members in groups.items())


def _kind(base: Base, kind: str, type_name: str, plans: Sequence[Plan]) -> KindReport:
    olds = [base.tensors[plan.tensor.name] for plan in plans if plan.tensor.name in base.tensors]
    return KindReport(
        kind=kind,
        n_tensors=len(plans),
        base_types=_distinct(old.type_name for old in olds),
        type_name=type_name,
        methods=_distinct(plan.method for plan in plans),
        base_bytes=sum(old.info.nbytes for old in olds),
        nbytes=sum(plan.nbytes for plan in plans),
        kept=together(plan.kept for plan in plans).share,
        loss=max(plan.loss for plan in plans),
    )


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
