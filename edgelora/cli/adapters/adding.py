"""``edgelora adapters add``: an adapter in any form into the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgelora.cli import options
from edgelora.cli.sources import check_choices, joined_name, source_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora_convert.report import ConversionReport

    from edgelora.adapters.store.store import AdapterStore, Added


def _sampling(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> dict[str, float]:
    """`temperature=0.2` and its kind."""
    found = {}
    for value in values:
        key, _, number = value.partition("=")
        try:
            found[key.strip().replace("-", "_")] = int(number) if number.strip().isdecimal() else float(number)
        except ValueError:
            raise click.BadParameter(f"{value!r} is no setting; write it like temperature=0.2") from None
    return found


@click.command("add", short_help="Take an adapter into the library.")
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@click.option("--name", metavar="N", help="What it is called.  [default: what SRC is called]")
@options.base
@click.option("--description", default="", metavar="TEXT", help="For the card: what it does.")
@click.option("--example", "examples", multiple=True, metavar="PROMPT", help="For the card: a prompt to try it with.")
@click.option(
    "--sampling", callback=_sampling, multiple=True, metavar="KEY=X", help="For the card: such as temperature=0.2."
)
@source_options
@options.as_json
def add(
    sources: tuple[str, ...],
    name: str | None,
    base: str | None,
    description: str,
    examples: tuple[str, ...],
    sampling: dict[str, float],
    dtype: str,
    as_json: bool,
    **choices: Any,
) -> None:
    """Take an adapter into the library, and print the name and version that mean it.

    SRC is what `convert` takes. A GGUF adapter is kept as it is; anything else is converted for the base, by default
    the one in the settings or the demo's. If the name is there already, this is its next version, and current from now
    on, also in chats and servers that are running; `rollback` takes that back.
    """
    from edgelora_convert.options import Options

    from edgelora.adapters import adding
    from edgelora.adapters.naming import check_name, name_from_stem
    from edgelora.adapters.store.manifest import Card, check_sampling
    from edgelora.cli.adapters.store import open_store
    from edgelora.cli.progress import ProgressBar
    from edgelora.cli.signals import cleaning_up
    from edgelora.config.resolved import base_path
    from edgelora.config.settings import load_settings

    chosen = Options(**choices)
    check_choices(sources, chosen)
    source = adding.Source(
        sources,
        base_path(load_settings({"base": base})),
        must_fit=base is not None,
        dtype=dtype,  # type: ignore[arg-type]
        options=chosen,
    )
    card = Card(description, examples, check_sampling(sampling))
    called = check_name(name) if name else name_from_stem(joined_name(sources, chosen))
    store = open_store()
    with cleaning_up(), ProgressBar() as progress:
        added, converted = adding.add(store, called, source, card, progress)
    tell(store, added, converted, as_json=as_json)


def tell(store: AdapterStore, added: Added, converted: ConversionReport | None, *, as_json: bool) -> None:
    """Say what was added: the report of its conversion, what has become of the name, and on stdout what means it."""
    from edgelora.cli.conversion import print_report

    if converted:
        print_report(converted)
    full = f"{added.name}@{added.number}"
    if not added.is_new:
        click.echo(f"edgelora: {full} is this adapter already; {added.name} means it", err=True)
    elif before := store.read().adapters[added.name].before:
        click.echo(f"edgelora: {added.name} means {full} now; it was {added.name}@{before[-1]}", err=True)
    if as_json:
        import json
        from dataclasses import asdict

        document = asdict(added) | {"path": str(store.path(added.sha256))}
        click.echo(json.dumps(document | {"report": converted.to_dict() if converted else None}, indent=2))
    else:
        click.echo(full)
