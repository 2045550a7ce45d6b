"""What a conversion did, in words and a table for people, on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora_convert.report import ConversionReport, Spread, TargetReport
    from rich.console import Console
    from rich.table import Table

MOST_RANGES = 4
MOST_NUMBERS = 3


def print_report(report: ConversionReport) -> None:
    """A summary, one row for each kind of tensor, the file, and what to beware of."""
    from rich.console import Console

    unwrapped = None if sys.stderr.isatty() else 10_000  # a log keeps its lines whole
    console = Console(stderr=True, highlight=False, markup=False, width=unwrapped)
    console.print(printable(report.name), style="bold")
    console.print(printable(_bases(report)))
    console.print(f"{report.n_params:,} parameters that change {report.n_pairs} tensors\n")
    console.print(_table(report))
    estimate = "" if report.exact_norms else " (estimated from some rows)"
    console.print(f"\nchange: size of scale·B·A beside the weight{estimate}", style="dim")
    types = ", ".join(f"{count} {name}" for name, count in report.types.items())
    size = f"{report.file_size / 1e6:.1f} MB" if report.file_size >= 1e6 else f"{report.file_size / 1e3:.0f} kB"
    console.print(f"{size} ({types} tensors)")
    console.print(f"sha256 {report.sha256}", style="dim")
    _print_warnings(console, report.warnings)


def _bases(report: ConversionReport) -> str:
    """What it is for, and what it was trained on if it says so."""
    given = f"for {report.base_name} ({report.arch})" if report.base_name else f"for {report.arch}"
    trained_on = ", ".join(dict.fromkeys(filter(None, report.trained_on)))
    return f"{given}, trained on {trained_on}" if trained_on else given


def _table(report: ConversionReport) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("tensor")
    table.add_column("layers")
    for title in ("rank", "scale", "change"):
        table.add_column(title, justify="right")
    for row in report.targets:
        changed = "ignored" if row.ignored else change(row.relative_change)
        numbers = (_numbers(row.ranks), _numbers(row.scales), changed)
        table.add_row(row.target, _layers(row, report.n_layers), *numbers, style="dim" if row.ignored else "")
    return table


def _print_warnings(console: Console, warnings: Sequence[str]) -> None:
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    for warning in warnings:
        grid.add_row("warning:", printable(warning))
    if warnings:
        grid.columns[0].style = "yellow"
        console.print()
        console.print(grid)


def _layers(row: TargetReport, n_layers: int) -> str:
    """Where it was adapted: `all 28`, `0-11, 20`; nothing for a tensor that is in no layer."""
    if not row.layers:
        return ""
    if set(row.layers) == set(range(n_layers)):
        return f"all {n_layers}"
    ranges = _ranges(sorted(set(row.layers)))
    if len(ranges) <= MOST_RANGES:
        return ", ".join(ranges)
    return f"{len(set(row.layers))} of {n_layers}: {', '.join(ranges[: MOST_RANGES - 1])}, ..."


def _ranges(layers: list[int]) -> list[str]:
    starts = [layer for layer in layers if layer - 1 not in layers]
    ends = [layer for layer in layers if layer + 1 not in layers]
    return [str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True)]


def _numbers(values: Sequence[float]) -> str:
    """All of a few values, of more the least and the greatest."""
    few = values if len(values) <= MOST_NUMBERS else (min(values), max(values))
    return (", " if few is values else " to ").join(f"{value:.4g}" for value in few)


def change(relative: Spread | None) -> str:
    """Of the weights' own size, from the least to the most changed tensor."""
    if relative is None:
        return "?"
    least, most = _percent(relative.least), _percent(relative.most)
    return f"{most} %" if least == most else f"{least} to {most} %"


def _percent(ratio: float) -> str:
    percent = 100 * ratio
    if 0 < percent < 0.01:
        return "<0.01"
    return f"{percent:.{2 if percent < 1 else 1 if percent < 10 else 0}f}"


def printable(text: str) -> str:
    """Names come from files, so they may hold anything."""
    return "".join(char if char.isprintable() else "?" for char in text)
