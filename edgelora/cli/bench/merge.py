"""``edgelora bench merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.cli.bench.published import page_option, publish, require_page
from edgelora.merge.options import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.bench.merge import MergeResult
    from edgelora.config.settings import Settings
    from edgelora.merge.options import Precision


@click.command("merge", short_help="Measure what baking an adapter in takes and keeps.")
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
@page_option
@options.as_json
def command(
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
    from edgelora.config.settings import load_settings

    require_page(page)
    settings = load_settings(given | {"adapter": adapter})
    result = _measure(settings, precisions or ("auto", "same", "q8_0", "q6_k"), source, folder)
    publish("edgelora bench merge", merge_tables(result), merge_remarks(result), merge_document(result), page, as_json)


def _measure(
    settings: Settings, precisions: Sequence[Precision], source: Path | None, folder: Path | None
) -> MergeResult:
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.bench.merge import measure
    from edgelora.bench.subject import find_subjects
    from edgelora.cli.progress import ProgressBar
    from edgelora.config.resolved import engine_config
    from edgelora.merge.workspace import workspace

    config = engine_config(settings)
    with ProgressBar() as progress, workspace(folder) as own:
        library = AdapterLibrary(config.base)  # as long as it lives, nobody removes what it gave out
        [subject] = find_subjects(library, [settings.adapter or ""], None, progress)
        return measure(config, subject, precisions, source, own, progress)
