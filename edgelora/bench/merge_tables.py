"""The result of ``bench merge`` as tables and as a document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgelora.bench.document import rounded
from edgelora.bench.tables import Table, machine_remark
from edgelora.bench.throughput import SEQUENCES

if TYPE_CHECKING:
    from edgelora.bench.merge import MergeResult
    from edgelora.bench.throughput import Throughput
    from edgelora.merge.report import MergeReport


def merge_document(result: MergeResult) -> dict[str, Any]:
    """What scripts read: times in seconds, or in milliseconds where a name says ``ms``; sizes in bytes."""
    document: dict[str, Any] = rounded(
        {
            "bench": "merge",
            "selection": result.subject.text,
            "base": {"name": result.base.name, "path": str(result.base.path), "n_params": result.base.n_params},
            "base_bytes": result.base_bytes,
            "kept_in": [asdict(kept) for kept in result.kept_in],
            "merges": [report.to_dict() for report in result.merges],
            "speeds": {name: asdict(speed) for name, speed in result.speeds.items()},
            "machine": result.machine,
        }
    )
    return document


def merge_remarks(result: MergeResult) -> tuple[str, ...]:
    """What was measured, and on what."""
    base = result.base
    return (
        f"Base: {base.name}, {base.n_params / 1e6:,.1f} million parameters, {base.quantization}, "
        f"{_megabytes(result.base_bytes)} MB. Baked in: {result.subject.label}.",
        machine_remark(result.machine),
    )


def merge_tables(result: MergeResult) -> tuple[Table, ...]:
    """The whole result, what people ask first at the top."""
    return (_merges(result), _speeds(result), _kept(result))


def _merges(result: MergeResult) -> Table:
    return Table(
        "Merging",
        (
            "precision",
            "size (MB)",
            "time (s)",
            "verifying (s)",
            "memory (MiB)",
            "kept",
            "KL",
            "of effect",
            "same token",
        ),
        tuple(map(_merge, result.merges)),
        "MiB is anonymous memory, of all processes. KL, and the share of the same most likely tokens, are against the "
        "adapter at run time; of effect: over the KL of the bare base.",
    )


def _merge(report: MergeReport) -> tuple[str, ...]:
    found = report.verification
    numbers = (
        _megabytes(report.file_size),
        f"{report.plan_s + report.write_s:.1f}",
        f"{report.verify_s:.1f}",
        f"{report.peak_memory_bytes / 2**20:,.0f}",
        f"{100 * report.adapter_kept:.1f} %",
    )
    if not found:
        return (report.precision, *numbers, "", "", "")
    share = f"{100 * found.kl_merged / found.kl_effect:.1f} %" if found.kl_effect else ""
    return (report.precision, *numbers, f"{found.kl_merged:.3g}", share, f"{100 * found.top1_merged:.1f} %")


def _speeds(result: MergeResult) -> Table:
    base = result.speeds["adapter"].base
    columns = (*(f"{count} at once" for count in SEQUENCES), *(f"TTFT {n} ms" for n in base.ttft_ms))
    rows = [("bare base", *_beside(base, base))]
    for name, speed in result.speeds.items():
        label = "adapter at run time" if name == "adapter" else f"baked, {name}"
        rows.append((label, *_beside(speed.own, speed.base)))
    return Table(
        "Speed",
        ("", *columns),
        tuple(rows),
        "Tokens per second of so many answers together; the time to the first token after prompts of so many tokens. "
        "In brackets: as a share of the bare base's, which took its steps in turn with these.",
    )


def _beside(own: Throughput, base: Throughput) -> tuple[str, ...]:
    rates = (f"{rate:.1f} ({rate / base.tok_per_s[count]:.2f})" for count, rate in own.tok_per_s.items())
    waits = (f"{wait:.0f} ({wait / base.ttft_ms[length]:.2f})" for length, wait in own.ttft_ms.items())
    return (*rates, *waits)


def _kept(result: MergeResult) -> Table:
    rows = tuple(
        (kept.type_name, f"{100 * kept.kept:.1f} %", f"{kept.median_loss:.2g}", _megabytes(kept.nbytes))
        for kept in result.kept_in
    )
    return Table(
        "What plain rounding keeps of the change",
        ("type", "kept", "loss", "size of the changed tensors (MB)"),
        rows,
        "Estimated from some rows. Loss: error of a tensor's output over its change, both squared; the median.",
    )


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f}"
