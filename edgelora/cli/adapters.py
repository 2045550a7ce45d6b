"""``edgelora adapters``: where adapters lie, and which there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgelora.cli import options

if TYPE_CHECKING:
    from edgelora.adapters.entry import AdapterEntry


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
