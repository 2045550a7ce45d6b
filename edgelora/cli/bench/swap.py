"""``edgelora bench swap``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.cli.bench.published import page_option, publish, require_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgelora.bench.swap import SwapResult
    from edgelora.config.settings import Settings


@click.command("swap", short_help="Measure what a swap costs, and adapters against the base.")
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
@page_option
@options.as_json
def command(
    adapters: Sequence[str], prompt: str | None, rounds: int, page: Path | None, as_json: bool, **given: object
) -> None:
    """Measure what swapping adapters costs, and each adapter against the base.

    Needs the machine to itself. Takes a minute on the demo, several on a large base.
    """
    from edgelora.bench.document import swap_document
    from edgelora.bench.tables import remarks, swap_tables
    from edgelora.config.settings import load_settings

    require_page(page)
    result = _measure(load_settings(given), adapters, prompt, rounds)
    publish("edgelora bench swap", swap_tables(result), remarks(result), swap_document(result), page, as_json)


def _measure(settings: Settings, adapters: Sequence[str], prompt: str | None, rounds: int) -> SwapResult:
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.bench.subject import find_subjects
    from edgelora.bench.swap import SwapBench
    from edgelora.cli.progress import ProgressBar
    from edgelora.config.resolved import engine_config

    config = engine_config(settings)
    wanted = adapters or ([settings.adapter] if settings.adapter else [])
    with ProgressBar() as progress:
        library = AdapterLibrary(config.base)  # as long as it lives, nobody removes what it gave out
        subjects = find_subjects(library, wanted, prompt, progress)
        with SwapBench(config, subjects, settings.template, rounds, progress) as bench:
            return bench.measure()
