"""``edgelora bases``: names for bases, without copying them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgelora.cli import options

if TYPE_CHECKING:
    from edgelora.adapters.offered import OfferedBase


class _InOrder(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group("bases", cls=_InOrder, no_args_is_help=True, short_help="Give bases names for --base.")
def command() -> None:
    """Give bases names, which `--base` takes wherever it takes a file. Nothing is copied."""


@command.command("list", short_help="List bases with names, and others on this machine.")
@options.as_json
def list_(as_json: bool) -> None:
    """List the bases that have names, and those that other programs have on this machine.

    Those are looked for in the Hugging Face hub's cache, LM Studio's models and Ollama's store.
    """
    from edgelora.adapters.offered import offered_bases
    from edgelora.config import locations
    from edgelora.config.known_bases import DEMO, known_bases

    places = {DEMO: locations.demo_base()} | {name: base.path for name, base in known_bases().items()}
    named = {path.resolve() for path in places.values()}
    rows = [_described(name, path) for name, path in places.items()]
    offered = [found for found in offered_bases() if found.path.resolve() not in named]
    if as_json:
        _print_json(rows, offered)
        return
    for row in rows:
        click.echo(f"{row['name']:24} {row['problem'] or row['facts']}\n{'':24} {row['path']}")
    if offered:
        click.echo("\nOn this machine too; `edgelora bases add PATH` gives one a name:")
    for found in offered:
        click.echo(f"{found.program:12} {found.title}\n{'':12} {found.path}")


@command.command("add", short_help="Give a base a name.")
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@click.option("--name", metavar="N", help="What to call it.  [default: as its file]")
def add(path: Path, name: str | None) -> None:
    """Give the GGUF at PATH a name, and print that. A name that is there already means this file from now on."""
    from edgelora.adapters.bases import add_base

    click.echo(add_base(path, name).name)


@command.command("remove", short_help="Forget a name.")
@click.argument("name", metavar="NAME")
def remove(name: str) -> None:
    """Forget a name; the file stays."""
    from edgelora.adapters.bases import remove_base

    click.echo(f"edgelora: {name} is forgotten; {remove_base(name).path} is still there", err=True)


@command.command("info", short_help="Show what is known of a base.")
@click.argument("base", metavar="NAME|PATH")
@options.as_json
def info(base: str, as_json: bool) -> None:
    """Show what a base is, and which adapters of the library fit it."""
    from edgelora.adapters.bases import read_base
    from edgelora.adapters.library import AdapterLibrary
    from edgelora.config.known_bases import named_base
    from edgelora.gguf.hashes import fingerprint

    path = named_base(base)
    facts = read_base(path)
    adapters = [entry.full_name for entry in AdapterLibrary(path).entries if entry.usable]
    described: dict[str, Any] = {
        "name": facts.name,
        "path": str(path.absolute()),
        "arch": facts.arch,
        "quantization": facts.quantization,
        "n_params": facts.n_params,
        "n_bytes": facts.file_size,
        "n_layers": facts.n_layers,
        "n_ctx_train": facts.n_ctx_train,
        "fingerprint": fingerprint(path),
        "baked": [adapter.name for adapter in facts.baked],
        "adapters": adapters,
    }
    if as_json:
        import json

        click.echo(json.dumps(described, indent=2, ensure_ascii=False))
        return
    for key, value in described.items():
        click.echo(f"{key:14} {', '.join(value) or 'none' if isinstance(value, list) else value}")


def _described(name: str, path: Path) -> dict[str, Any]:
    from edgelora.adapters.bases import read_base
    from edgelora.config.locations import is_missing
    from edgelora.errors import EdgeloraError

    row = {"name": name, "path": str(path), "facts": None, "n_bytes": None, "problem": None}
    try:
        facts = read_base(path)
    except EdgeloraError as error:
        missing = f"it is not there any more; edgelora bases add PATH --name {name}, or remove {name}"
        return row | {"problem": missing if is_missing(path) else error.message}
    shown = f"{facts.name}, {facts.arch}, {facts.quantization}, {facts.file_size / 1e9:.2f} GB"
    return row | {"facts": shown, "n_bytes": facts.file_size}


def _print_json(rows: list[dict[str, Any]], offered: list[OfferedBase]) -> None:
    import json

    others = [{"title": found.title, "program": found.program, "path": str(found.path)} for found in offered]
    click.echo(json.dumps({"bases": rows, "offered": others}, indent=2))
