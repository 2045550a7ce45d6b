"""``edgelora pull``: bases and adapters from the hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgelora.cli import options

if TYPE_CHECKING:
    from edgelora_convert.sources.hub.fetch import Fetched

    from edgelora.adapters.adding import Source
    from edgelora.adapters.hub import Found
    from edgelora.cli.progress import ProgressBar


@click.command("pull", short_help="Fetch a base or an adapter from the Hugging Face hub.")
@click.argument("repo", metavar="REPO[:FILE]")
@click.option("--revision", metavar="R", help="Branch, tag or commit.  [default: main]")
@click.option("--name", metavar="N", help="What to call it.  [default: as the file or the repository]")
@options.base
@options.as_json
def command(repo: str, revision: str | None, name: str | None, base: str | None, as_json: bool) -> None:
    """Fetch a base or an adapter from the Hugging Face hub, and print its name here.

    REPO is like org/repo; FILE chooses in it, and may hold `*`: org/repo:*Q4_K_M*. A base goes into the cache that all
    programs share and gets a name for --base. An adapter is converted for --base and goes into the library. What was
    interrupted goes on where it was, and every file is checked against the hash that the hub gives.
    """
    from edgelora.adapters.bases import check_base_name
    from edgelora.adapters.hub import look, parse_pull, pull_base
    from edgelora.adapters.naming import check_name
    from edgelora.cli.progress import ProgressBar
    from edgelora.cli.signals import cleaning_up

    address, pattern = parse_pull(repo, revision)
    if name is not None:
        check_name(name, "base or adapter")  # before it may have taken an hour
    with cleaning_up(), ProgressBar() as progress:
        found = look(address, pattern)
        if found.base is None:
            _pull_adapter(found, name, base, progress, as_json=as_json)
            return
        if name is not None:
            check_base_name(name)
        pulled = pull_base(found, name, progress)
    click.echo(f"edgelora: {pulled.name} is {pulled.path}", err=True)
    if as_json:
        import json

        document = {"kind": "base", "name": pulled.name, "path": str(pulled.path), "fingerprint": pulled.fingerprint}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(pulled.name)


def _pull_adapter(found: Found, name: str | None, base: str | None, progress: ProgressBar, *, as_json: bool) -> None:
    from edgelora_convert.sources.hub.fetch import fetch

    from edgelora.adapters.adding import add
    from edgelora.adapters.naming import check_name, name_from_stem
    from edgelora.cli.adapters.adding import tell
    from edgelora.cli.adapters.store import open_store
    from edgelora.config.resolved import base_path
    from edgelora.config.settings import load_settings

    for_base = base_path(load_settings({"base": base}))
    called = check_name(name) if name else name_from_stem(found.address.name)
    fetched = fetch(found.address, progress)
    source = replace(
        _source(fetched, for_base), must_fit=base is not None, address=found.address, commit=fetched.commit
    )
    store = open_store()
    added, converted = add(store, called, source, report=progress)
    progress.clear()
    tell(store, added, converted, as_json=as_json)


def _source(fetched: Fetched, base: Path) -> Source:
    """A GGUF as the file that it is; anything else by its repository, which the adapter then names."""
    from edgelora_convert.options import Options

    from edgelora.adapters.adding import Source

    address = fetched.address
    if fetched.path.suffix == ".gguf" or Path(address.repo).exists():
        return Source((str(fetched.path),), base)
    chosen = Options(revision=fetched.commit, subfolder=address.subfolder or None)
    return Source((address.repo,), base, options=chosen)
