"""``edgelora adapters``: where adapters lie, and which there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgelora.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.merge.baked import BakedBase


@click.group("adapters", no_args_is_help=True)
def command() -> None:
    """Show the adapter folder and what lies in it."""


@command.command("path")
def path() -> None:
    """Print the folder to put adapters into: GGUF files, and PEFT or MLX folders.

    EDGELORA_ADAPTERS chooses another one.
    """
    from edgelora.config import locations

    click.echo(locations.adapters_dir())


@command.command("list")
@options.base
@options.as_json
def list_(base: str | None, as_json: bool) -> None:
    """List the adapters that can be selected with a base, and why others cannot."""
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.config.resolved import base_path
    from edgelora.config.settings import load_settings

    library = AdapterLibrary(base_path(load_settings({"base": base})))
    if as_json:
        _print_json(library.entries)
        return
    for entry in library.entries:
        click.echo(_line(entry))
    if not library.entries:
        click.echo(f"There are no adapters for this base; put some into {library.folder}", err=True)


@command.command("baked")
@click.option("--clear", is_flag=True, help="Remove all of them.")
@options.as_json
def baked(clear: bool, as_json: bool) -> None:
    """List the bases with adapters in their weights that the chat has made, and where they lie.

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


def _line(entry: AdapterEntry) -> str:
    if entry.problem:
        return f"{entry.name:20} cannot be used: {entry.problem}"
    size = f"{entry.n_bytes / 1e6:.1f} MB"
    doubt = f"\n{'':20} {entry.warning}" if entry.warning else ""
    return f"{entry.name:20} rank {entry.rank:<4} {size:>10}  {', '.join(entry.targets)}{doubt}"


def _print_json(entries: tuple[AdapterEntry, ...]) -> None:
    import json

    fields = ("name", "sha256", "rank", "n_bytes", "targets", "problem", "warning")
    listed = [{field: getattr(entry, field) for field in fields} | {"path": str(entry.path)} for entry in entries]
    click.echo(json.dumps({"adapters": listed}, indent=2))


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
