"""What a merge will cost and what it did, for people, on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edgelora.cli.conversion import printable
from edgelora.merge.trade import size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from edgelora.merge.report import KindReport, MergeReport
    from edgelora.merge.trade import Trade
    from edgelora.merge.verification import Verification


def print_trade(trade: Trade, *, has_source: bool) -> None:
    """Size and speed of what there is to choose between, and advice; before the work."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("size", justify="right")
    table.add_column("speed, about", justify="right")
    with_adapter = trade.base_bytes + trade.adapter_bytes
    of_adapter, of_merged = (f"{100 * speed:.0f} %" for speed in (trade.adapter_speed, trade.merged_speed))
    table.add_row("base + adapter at run time", size_text(with_adapter), f"{of_adapter} of the base's")
    table.add_row("merged", size_text(trade.merged_bytes), of_merged + " " * 14)
    console = _console()
    console.print(table)
    console.print(trade.advice(has_source=has_source))


def print_report(report: MergeReport) -> None:
    """What became of each kind of tensor, how much of the adapter is left, the verdict, and the time it took."""
    console = _console()
    console.print()
    console.print(_kinds(report))
    console.print(f"\nkept of the adapter's change: {100 * report.adapter_kept:.1f} %")
    if report.verification:
        _print_verification(console, report.verification)
        _print_verdict(console, report)
    else:
        console.print(f"not verified: {report.not_verified}", style="yellow")
    if report.carried:
        console.print(f"the file has the adapter's {_listed(report.carried)}")
    for note in report.notes:
        console.print(f"note: {printable(note)}", style="yellow")
    times = f"{report.plan_s + report.write_s:.1f} s to merge"
    if report.verification:
        times += f", {report.verify_s:.1f} s to verify"
    peak = f"{report.peak_memory_bytes / 2**20:,.0f} MiB of memory at most"
    console.print(f"{size_text(report.file_size)}, {times}, {peak}", style="dim")


def _listed(keys: Sequence[str]) -> str:
    """``chat template and end tokens``."""
    *others, last = dict.fromkeys(_CARRIED.get(key, "end tokens") for key in keys)
    return f"{', '.join(others)} and {last}" if others else last


_CARRIED = {"tokenizer.chat_template": "chat template", "edgelora.system_prompt": "system prompt"}


def _kinds(report: MergeReport) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("tensor")
    table.add_column("", justify="right")
    table.add_column("type")
    table.add_column("size", justify="right")
    table.add_column("kept", justify="right")
    for kind in report.kinds:
        sizes = f"{size_text(kind.base_bytes)} → {size_text(kind.nbytes)}"
        table.add_row(kind.kind, f"{kind.n_tensors}×", _types(kind), sizes, f"{100 * kind.kept:.1f} %")
    return table


def _types(kind: KindReport) -> str:
    before = ", ".join(kind.base_types)
    return kind.type_name if before == kind.type_name else f"{before} → {kind.type_name}"


def _print_verification(console: Console, found: Verification) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("against the adapter at run time", "KL divergence", "same next token"):
        table.add_column(title, justify="left" if title.startswith("against") else "right")
    table.add_row("merged", f"{found.kl_merged:.2g}", f"{100 * found.top1_merged:.1f} %")
    table.add_row("bare base", f"{found.kl_effect:.2g}", f"{100 * found.top1_effect:.1f} %")
    console.print()
    console.print(table)


def _print_verdict(console: Console, report: MergeReport) -> None:
    if source := report.against_source:
        merged, base = f"{source.kl_merged:.2g}", f"{source.kl_at_run_time:.2g}"
        console.print(f"from the unquantized base with the adapter: merged {merged}, base + adapter at run time {base}")
    if report.verification and report.verdict:
        share = _share(report.verification) if not report.against_source else ""
        console.print(_VERDICTS[report.verdict].format(share=share), style=_STYLES[report.verdict])


_VERDICTS = {
    "passed": "passed: the merged file does what the adapter does{share}.",
    "failed": "FAILED: part of the adapter was lost{share}; --precision q8_0 or f16 keeps more.",
    "unclear": "unclear: as near as rounding lets anyone see, and the adapter changes too little to see more{share}.",
    "no effect": "no effect: the adapter changes nothing measurable; rounding alone does as much to the base.",
}
_STYLES = {"passed": "green", "failed": "bold red", "unclear": "yellow", "no effect": "yellow"}


def _share(found: Verification) -> str:
    """How far away it is, beside what the adapter does."""
    share = 100 * found.kl_merged / found.kl_effect if found.kl_effect else None
    return f", {share:.1f} % of its effect away (5 % are allowed)" if share is not None else ""


def _console() -> Console:
    from rich.console import Console

    unwrapped = None if sys.stderr.isatty() else 10_000  # a log keeps its lines whole
    return Console(stderr=True, highlight=False, markup=False, width=unwrapped)
