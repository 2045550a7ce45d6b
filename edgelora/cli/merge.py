"""``edgelora merge``: adapters baked into a base."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.errors import MergeError, UsageError
from edgelora.merge.options import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgelora.merge.options import MergeMember, Options
    from edgelora.merge.report import MergeReport
    from edgelora.merge.trade import Trade

NEED_SOURCE = frozenset({"q5_k_m", "q4_k_m"})
_REASON = "\n  - "


@click.command("merge", short_help="Bake adapters into a base, and prove that they are in it.")
@options.required_base("The base; of any type.")
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    required=True,
    metavar="MEMBER",
    help="As for `run`: a name, a GGUF adapter or a PEFT or MLX folder, with a scale as in legal:0.7; may be repeated.",
)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="GGUF", help="The file to write.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Types of the changed tensors. auto: the smallest that keep the adapter; same: those of the base.",
)
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The same base unquantized, a GGUF or a Transformers folder: merge there, and quantize once.",
)
@click.option("--verify/--no-verify", default=True, help="Compare with the adapter at run time.  [default: --verify]")
@click.option("--force", is_flag=True, help="Write it even if less than half of the adapter is left.")
@options.as_json
def command(
    base: Path,
    adapters: Sequence[str],
    out: Path,
    precision: str,
    source: Path | None,
    verify: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Write a GGUF of the base with adapters in its weights, and print its path.

    It needs no adapter at run time, and can do nothing else. Adding an adapter to quantized weights and rounding them
    to the same type again loses most of it; merge chooses types that keep it, says before it starts what they cost,
    and measures the result against the adapter at run time.
    """
    from edgelora.cli.merging import print_report
    from edgelora.cli.outputs import require_file, require_folder
    from edgelora.merge.options import Options

    if precision in NEED_SOURCE and source is None:
        raise UsageError(
            f"--precision {precision} needs --source",
            "Weights that are quantized already cannot take such a type without losing the adapter.",
        )
    require_file(out)
    require_folder(out)
    chosen = Options(precision, source, verify=verify, force=force)  # type: ignore[arg-type]
    report = _merged(base, named_members(base, adapters), out, chosen)
    print_report(report)
    if as_json:
        import json

        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        click.echo(out)
    return 1 if report.broke_its_promise else 0


def _merged(base: Path, members: Sequence[MergeMember], out: Path, chosen: Options) -> MergeReport:
    """Merge, and say before the work what it costs."""
    from edgelora.cli.merging import print_trade
    from edgelora.cli.progress import ProgressBar
    from edgelora.cli.signals import cleaning_up
    from edgelora.merge.merge import merge

    with cleaning_up(), naming(members), ProgressBar() as progress:

        def announce(trade: Trade) -> None:
            progress.clear()
            print_trade(trade, has_source=chosen.source is not None)

        return merge(base, members, out, chosen, report=progress, announce=announce)


@contextmanager
def naming(members: Sequence[MergeMember]) -> Iterator[None]:
    """Within the block a MergeError calls adapters of the library by name, and gives few of many reasons."""
    from edgelora.adapters.inspection import few
    from edgelora.adapters.store.store import FOLDER

    try:
        yield
    except MergeError as error:
        message, *reasons = error.message.split(_REASON)
        for member in members:
            if FOLDER in member.path.parts:
                message = message.replace(str(member.path), member.name)
        raise MergeError(_REASON.join([message, *few(reasons)]), error.hint) from None


def named_members(base: Path, texts: Sequence[str]) -> list[MergeMember]:
    """The adapters that ``texts`` name, each a selection. Raises UsageError and UnknownAdapterError."""
    from edgelora.adapters.convertible import shown_name
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.adapters.naming import name_from_stem
    from edgelora.adapters.selection import parse_selection
    from edgelora.config.locations import expanded
    from edgelora.merge.options import MergeMember

    found = []
    for member in (member for text in texts for member in parse_selection(text)):
        if member.is_path:
            path = expanded(member.ref)
            found.append(MergeMember(path, member.scale, name_from_stem(shown_name(path))))
        else:
            entry = AdapterLibrary(base).named(member.ref)
            found.append(MergeMember(entry.path, member.scale, entry.full_name))
    if not found:
        raise UsageError("there is nothing to bake in", "Name an adapter: --adapter legal, or --adapter ./my.gguf:0.7")
    return found
