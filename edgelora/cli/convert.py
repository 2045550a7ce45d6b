"""``edgelora convert``: a PEFT folder to a GGUF adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.errors import UsageError

if TYPE_CHECKING:
    from edgelora_convert.report import ConversionReport

DTYPES = ("auto", "f16", "f32", "bf16", "q8_0")


@click.command("convert", short_help="Make a GGUF adapter of a PEFT folder.")
@click.argument("src", type=click.Path(path_type=Path))
@click.option("--base", required=True, type=click.Path(path_type=Path), metavar="GGUF", help="The base to convert for.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="GGUF", help="The adapter.  [default: ./NAME_OF_SRC.gguf]"
)
@click.option("--dtype", type=click.Choice(DTYPES), default="auto", show_default=True, help="auto: F16 where it holds.")
@options.as_json
def command(src: Path, base: Path, out: Path | None, dtype: str, as_json: bool) -> None:
    """Convert SRC, a PEFT LoRA folder, to a GGUF adapter for a base. Prints the path of the adapter.

    Needs nothing but the folder and the base GGUF.
    """
    from edgelora_convert.convert import convert

    from edgelora.cli.progress import ProgressBar

    target = out or _new_file(src)
    with ProgressBar() as progress:
        report = convert(src, base, target, dtype, progress)  # type: ignore[arg-type]
    _print_report(report)
    if as_json:
        import json

        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        click.echo(target)


def _new_file(src: Path) -> Path:
    """Where the adapter goes if nobody says: into the current folder, never over something that is there."""
    target = Path(f"{src.resolve().name}.gguf")
    if target.exists():
        raise UsageError(f"{target} exists already", f"Say where to write, with -o; -o {target} replaces it.")
    return target


def _print_report(report: ConversionReport) -> None:
    """Words for people, on stderr."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True, highlight=False)
    types = ", ".join(f"{count} {name}" for name, count in report.types.items())
    console.print(f"{report.name}: {report.n_pairs} pairs in {report.n_layers} layers, {report.n_params:,} parameters")
    table = Table(box=None, pad_edge=False)
    for title in ("tensor", "layers", "rank", "scale"):
        table.add_column(title)
    for row in report.targets:
        ranks, scales = (", ".join(f"{number:g}" for number in numbers) for numbers in (row.ranks, row.scales))
        table.add_row(row.target, str(len(row.layers)), ranks, scales)
    console.print(table)
    console.print(f"{report.file_size / 1e6:.1f} MB ({types}), sha256 {report.sha256}", soft_wrap=True)
    for warning in report.warnings:
        console.print(f"note: {warning}", soft_wrap=True, markup=False)
