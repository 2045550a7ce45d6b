"""``edgelora adapters baked``: bases with adapters in their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgelora.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.merge.baked import BakedBase


@click.command("baked", short_help="List the bases with baked-in adapters.")
@click.option("--clear", is_flag=True, help="Remove all of them.")
@options.as_json
def baked(clear: bool, as_json: bool) -> None:
    """List the bases with adapters in their weights that chat and serve have made, and where they lie.

    They are kept so that the same adapters are baked into the same base once; all can be made again.
    """
    from edgelora.merge.baked import BakedBases

    cache = BakedBases()
    if clear:
        click.echo(f"{cache.clear() / 1e6:,.1f} MB freed")
    elif as_json:
        _print_baked_json(cache.entries())
    else:
        _print_baked(cache.folder, cache.entries())


def _print_baked(folder: Path, entries: tuple[BakedBase, ...]) -> None:
    for entry in entries:
        size = f"{entry.n_bytes / 1e6:,.1f} MB"
        click.echo(f"{entry.base:24} {_baked_text(entry):24} {size:>12}  {entry.made:%Y-%m-%d %H:%M}")
    words = f"in {folder}; --clear removes them" if entries else f"Nothing is baked yet; what is will be in {folder}"
    click.echo(words, err=True)


def _print_baked_json(entries: tuple[BakedBase, ...]) -> None:
    import json
    from dataclasses import asdict

    listed = [asdict(entry) | {"path": str(entry.path), "made": entry.made.isoformat()} for entry in entries]
    click.echo(json.dumps({"baked": listed}, indent=2))


def _baked_text(entry: BakedBase) -> str:
    from edgelora.adapters.selection import MemberText, format_selection

    return format_selection([MemberText(adapter.name, adapter.scale) for adapter in entry.adapters])
