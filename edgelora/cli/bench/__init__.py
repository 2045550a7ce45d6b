"""``edgelora bench``: measurements on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgelora.cli import options
from edgelora.cli.merge import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgelora.bench.merge import MergeResult
    from edgelora.bench.swap import SwapResult
    from edgelora.bench.tables import Table
    from edgelora.config.settings import Settings
    from edgelora.merge.options import Precision


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
    from edgelora.bench.document import swap_document
    from edgelora.bench.tables import remarks, swap_tables
    from edgelora.cli.outputs import require_folder
    from edgelora.config.settings import load_settings

    if page:
        require_folder(page)
    result = _measure(load_settings(given), adapters, prompt, rounds)
    _publish("edgelora bench swap", swap_tables(result), remarks(result), swap_document(result), page, as_json)


@command.command("merge")
@options.base
@click.option("--adapter", required=True, metavar="SEL", help="What to bake in, as for `run`.")
@options.engine_options
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(PRECISIONS),
    multiple=True,
    help="How to merge; may be repeated.  [default: auto, same, q8_0, q6_k]",
)
@click.option("--source", type=click.Path(path_type=Path), metavar="GGUF", help="The same base unquantized.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the merged files may lie meanwhile.  [default: the system's folder for such files]",
)
@click.option("--report", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a Markdown page too.")
@options.as_json
def merge(
    adapter: str,
    precisions: Sequence[Precision],
    source: Path | None,
    folder: Path | None,
    page: Path | None,
    as_json: bool,
    **given: object,
) -> None:
    """Measure what baking an adapter in takes, what it keeps, and how fast the result is.

    Needs the machine to itself. Takes two minutes on the demo, half an hour on a large base.
    """
    from edgelora.bench.merge_tables import merge_document, merge_remarks, merge_tables
    from edgelora.cli.outputs import require_folder
    from edgelora.config.settings import load_settings

    if page:
        require_folder(page)
    settings = load_settings(given | {"adapter": adapter})
    result = _measure_merge(settings, precisions or ("auto", "same", "q8_0", "q6_k"), source, folder)
    _publish("edgelora bench merge", merge_tables(result), merge_remarks(result), merge_document(result), page, as_json)


def _measure_merge(
    settings: Settings, precisions: Sequence[Precision], source: Path | None, folder: Path | None
) -> MergeResult:
    import tempfile

    from edgelora.adapters.library import AdapterLibrary
    from edgelora.bench.merge import measure
    from edgelora.bench.subject import find_subjects
    from edgelora.cli.progress import ProgressBar
    from edgelora.cli.signals import cleaning_up
    from edgelora.config.resolved import engine_config

    config = engine_config(settings)
    with (
        cleaning_up(),
        ProgressBar() as progress,
        tempfile.TemporaryDirectory(prefix="edgelora-bench-", dir=folder) as own,
    ):
        [subject] = find_subjects(AdapterLibrary(config.base), [settings.adapter or ""], None, progress)
        return measure(config, subject, precisions, source, Path(own), progress)


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


def _publish(
    title: str,
    tables: Sequence[Table],
    remarks: Sequence[str],
    document: Mapping[str, Any],
    page: Path | None,
    as_json: bool,
) -> None:
    """Write the page if one is wanted, and print the document or the tables."""
    from edgelora.bench.tables import markdown
    from edgelora.cli.outputs import write_text

    if page:
        write_text(page, markdown(tables, title, remarks))
    if as_json:
        import json

        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print(tables, remarks)


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
