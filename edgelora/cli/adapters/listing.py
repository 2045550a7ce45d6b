"""``edgelora adapters list`` and ``path``: what there is, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.cli.adapters.words import counted, date

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    width = max((len(_name(entry)) for entry in entries), default=0)
    for entry in entries:
        first, *others = _lines(entry, used if usage else None)
        click.echo(f"{_name(entry):{width}}  {first}")
        for line in others:
            click.echo(f"{'':{width}}  {line}")
    if not entries:
        click.echo(f"There are no adapters for this base; put some into {library.folder}", err=True)


def _name(entry: AdapterEntry) -> str:
    return " ".join([entry.full_name, *(f"({alias})" for alias in entry.aliases)])


def _lines(entry: AdapterEntry, used: Mapping[str, Usage] | None) -> Iterator[str]:
    """What is said of one adapter, beside its name."""
    if entry.problem:
        yield f"cannot be used: {entry.problem}"
    else:
        yield f"rank {entry.rank:<4} {entry.n_bytes / 1e6:>8.1f} MB  {', '.join(entry.targets)}"
    yield from filter(None, (entry.description, None if entry.problem else entry.warning))
    if used is not None:
        yield _usage(used.get(entry.sha256 or ""), sum(each.tokens for each in used.values()))


def _tokens(entry: AdapterEntry, used: Mapping[str, Usage]) -> int:
    found = used.get(entry.sha256 or "")
    return found.tokens if found else 0


def _usage(found: Usage | None, tokens: int) -> str:
    """How much it was used, of ``tokens`` in all."""
    if not found:
        return "not used yet"
    return f"{counted(found.runs, found.tokens)} ({100 * found.tokens / tokens:.0f} % of all), last {date(found.last)}"


def _print_json(entries: Sequence[AdapterEntry], used: Mapping[str, Usage] | None) -> None:
    import json
    from dataclasses import asdict

    listed = [{field: getattr(entry, field) for field in _FIELDS} | {"path": str(entry.path)} for entry in entries]
    if used is not None:
        for row in listed:
            found = used.get(row["sha256"] or "")
            row["usage"] = {key: value for key, value in asdict(found).items() if key != "sha256"} if found else None
    click.echo(json.dumps({"adapters": listed}, indent=2))
