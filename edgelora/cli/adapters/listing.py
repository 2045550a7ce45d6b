"""``edgelora adapters list`` and ``path``: what there is, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.cli.adapters.words import counted, date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.adapters.store.usage import Usage

_FIELDS = ("name", "version", "aliases", "sha256", "rank", "n_bytes", "targets", "problem", "warning", "source")


@click.command("path", short_help="Print the folder to put adapters into.")
def path() -> None:
    """Print the folder to put adapters into: GGUF files, and PEFT or MLX folders.

    EDGELORA_ADAPTERS chooses another one. The library is inside it.
    """
    from edgelora.config import locations

    click.echo(locations.adapters_dir())


@click.command("list", short_help="List the adapters, and why some cannot be used.")
@options.base
@click.option("--usage", is_flag=True, help="Most used first, with answers and tokens: what is worth baking.")
@options.as_json
def list_(base: str | None, usage: bool, as_json: bool) -> None:
    """List the adapters that can be selected with a base, and why others cannot."""
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.adapters.store.usage import UsageCounts
    from edgelora.config.resolved import base_path
    from edgelora.config.settings import load_settings

    library = AdapterLibrary(base_path(load_settings({"base": base})))
    used = UsageCounts(library.folder).read() if usage else {}
    entries = sorted(library.entries, key=lambda entry: -_tokens(entry, used))
    if as_json:
        _print_json(entries, used if usage else None)
        return
    for entry in entries:
        click.echo(_line(entry) + (_usage(entry, used) if usage else ""))
    if not entries:
        click.echo(f"There are no adapters for this base; put some into {library.folder}", err=True)


def _line(entry: AdapterEntry) -> str:
    name = " ".join([entry.full_name, *(f"({alias})" for alias in entry.aliases)])
    if entry.problem:
        return f"{name:20} cannot be used: {entry.problem}"
    size = f"{entry.n_bytes / 1e6:.1f} MB"
    doubt = f"\n{'':20} {entry.warning}" if entry.warning else ""
    return f"{name:20} rank {entry.rank:<4} {size:>10}  {', '.join(entry.targets)}{doubt}"


def _tokens(entry: AdapterEntry, used: Mapping[str, Usage]) -> int:
    found = used.get(entry.sha256 or "")
    return found.tokens if found else 0


def _usage(entry: AdapterEntry, used: Mapping[str, Usage]) -> str:
    found = used.get(entry.sha256 or "")
    if not found:
        return f"\n{'':20} not used yet"
    share = found.tokens / sum(each.tokens for each in used.values())
    return f"\n{'':20} {counted(found.runs, found.tokens)} ({share:.0%} of all), last {date(found.last)}"


def _print_json(entries: Sequence[AdapterEntry], used: Mapping[str, Usage] | None) -> None:
    import json
    from dataclasses import asdict

    listed = [{field: getattr(entry, field) for field in _FIELDS} | {"path": str(entry.path)} for entry in entries]
    if used is not None:
        for row in listed:
            found = used.get(row["sha256"] or "")
            row["usage"] = {key: value for key, value in asdict(found).items() if key != "sha256"} if found else None
    click.echo(json.dumps({"adapters": listed}, indent=2))
