"""``edgelora bench mixed``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.cli.bench.published import page_option, publish, require_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST = 64


@click.command("mixed", short_help="Measure many adapters in one batch.")
@options.base
@click.option("--sequences", type=click.IntRange(1, MOST), default=8, show_default=True, help="Answers at once.")
@click.option(
    "--adapters", "count", type=click.IntRange(1), metavar="K", help="How many different ones.  [default: as sequences]"
)
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="SEL",
    help="Which, as for `run`; may be repeated.  [default: the first K that fit the base]",
)
@options.engine_options
@click.option("--rounds", type=click.IntRange(min=1), default=4, show_default=True, help="Rounds of interleaved steps.")
@page_option
@options.as_json
def command(
    sequences: int,
    count: int | None,
    adapters: Sequence[str],
    rounds: int,
    page: Path | None,
    as_json: bool,
    **given: object,
) -> None:
    """Measure steps whose sequences use different adapters, beside all on one and beside llama.cpp's own way.

    Needs the machine to itself. Takes a minute on the demo, ten on a large base with many sequences.
    """
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.bench.mixed import measure_mixed
    from edgelora.bench.mixed_report import mixed_document, mixed_remarks, mixed_table
    from edgelora.bench.subject import find_subjects, take
    from edgelora.cli.progress import ProgressBar
    from edgelora.config.resolved import engine_config
    from edgelora.config.settings import load_settings

    require_page(page)
    config = engine_config(load_settings(given))
    with ProgressBar() as progress:
        library = AdapterLibrary(config.base)  # as long as it lives, nobody removes what it gave out
        subjects = take(find_subjects(library, adapters, None, progress), count, sequences)
        result = measure_mixed(config, subjects, sequences, rounds, progress)
    publish("edgelora bench mixed", [mixed_table(result)], mixed_remarks(result), mixed_document(result), page, as_json)
