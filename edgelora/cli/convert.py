"""``edgelora convert``: an adapter in any form to a GGUF adapter for a base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgelora.cli import options
from edgelora.cli.sources import check_choices, joined_name, source_options
from edgelora.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora_convert.options import Options


@click.command("convert", short_help="Make a GGUF adapter of a LoRA in another form.")
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@options.required_base("The base to convert for.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="GGUF", help="The adapter.  [default: ./NAME_OF_SRC.gguf]"
)
@source_options
@options.as_json
def command(
    sources: tuple[str, ...],
    base: Path,
    out: Path | None,
    dtype: str,
    as_json: bool,
    **choices: Any,
) -> None:
    """Convert SRC to a GGUF adapter for a base, and print the adapter's path.

    SRC is a PEFT or MLX folder, a weights file in one, a GGUF adapter, or a repository on the Hugging Face hub such as
    org/repo. Several become one adapter that does what all of them do together.

    Needs nothing else than SRC and the base GGUF.
    """
    from edgelora_convert.convert import convert
    from edgelora_convert.options import Options

    from edgelora.cli.conversion import print_report
    from edgelora.cli.outputs import require_file
    from edgelora.cli.progress import ProgressBar

    chosen = Options(**choices)
    check_choices(sources, chosen)
    target = out or _new_file(sources, chosen)
    require_file(target)
    with ProgressBar() as progress:
        report = convert(sources, base, target, dtype, progress, chosen)  # type: ignore[arg-type]
    print_report(report)
    if as_json:
        import json

        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        click.echo(target)


def _new_file(sources: Sequence[str], chosen: Options) -> Path:
    """Where the adapter goes if nobody says: into the current folder, never over something that is there."""
    target = Path(joined_name(sources, chosen) + ".gguf")
    if target.exists():
        raise UsageError(f"{target} exists already", f"Say where to write, with -o; -o {target} replaces it.")
    return target
