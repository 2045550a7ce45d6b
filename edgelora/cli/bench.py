"""``edgelora bench``: measurements on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgelora.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.bench.swap import SwapResult
    from edgelora.bench.tables import Table
    from edgelora.config.settings import Settings


@click.group("bench", no_args_is_help=True)
def command() -> None:
    """Measure what a person waits for, on this machine."""


@command.command("swap")
@options.base
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="SEL",
    help="What to measure, as for `run`; may be repeated. Swaps are between the first two.  [default: all that fit]",
)
@options.engine_options
@options.template
@click.option("--prompt", metavar="TEXT", help="What to ask.  [default: each adapter's own example]")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="Rounds of interleaved steps."
)
@click.option("--report", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a Markdown page too.")
@options.as_json
def swap(
    adapters: Sequence[str], prompt: str | None, rounds: int, page: Path | None, as_json: bool, **given: object
) -> None:
    """Measure what swapping adapters costs, and each adapter against the base.

    Needs the machine to itself. Takes a minute on the demo, several on a large base.
    """
    from edgelora.bench.tables import markdown, remarks, swap_tables
    from edgelora.cli.outputs import require_folder, write_text
    from edgelora.config.settings import load_settings

    if page:
        require_folder(page)
    result = _measure(load_settings(given), adapters, prompt, rounds)
    tables = swap_tables(result)
    if page:
        write_text(page, markdown(tables, "edgelora bench swap", remarks(result)))
    if as_json:
        import json

        from edgelora.bench.document import swap_document

        click.echo(json.dumps(swap_document(result), indent=2, ensure_ascii=False))
    else:
        _print(tables, remarks(result))


def _measure(settings: Settings, adapters: Sequence[str], prompt: str | None, rounds: int) -> SwapResult:
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.bench.subject import find_subjects
    from edgelora.bench.swap import SwapBench
    from edgelora.cli.progress import ProgressBar
    from edgelora.config.resolved import engine_config

    config = engine_config(settings)
    wanted = adapters or ([settings.adapter] if settings.adapter else [])
    with ProgressBar() as progress:
        subjects = find_subjects(AdapterLibrary(config.base), wanted, prompt, progress)
        with SwapBench(config, subjects, settings.template, rounds, progress) as bench:
            return bench.measure()


def _print(tables: Sequence[Table], remarks: Sequence[str]) -> None:
    from rich import box, table
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for remark in remarks:
        console.print(escape(remark))
    for content in tables:
        drawn = table.Table(title=escape(content.title), box=box.SIMPLE, title_justify="left", show_lines=False)
        for column in content.columns:
            drawn.add_column(escape(column))
        for row in content.rows:
            drawn.add_row(*map(escape, row))
        console.print(drawn)
        if content.note:
            console.print(escape(content.note))
