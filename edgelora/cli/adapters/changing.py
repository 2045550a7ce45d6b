"""``edgelora adapters remove``, ``pin``, ``rollback`` and ``alias``: what names mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgelora.cli.adapters.beside import only_in_the_library
from edgelora.errors import UsageError

if TYPE_CHECKING:
    from edgelora.adapters.store.manifest import Manifest


@click.command("remove", short_help="Remove an adapter, or one version of it.")
@click.argument("ref", metavar="NAME[@V]")
def remove(ref: str) -> None:
    """Remove an adapter with all its versions, or one version that is not the current one.

    What a running chat or server uses is not removed. Only the library's own copy goes.
    """
    from edgelora.cli.adapters.store import open_store

    with only_in_the_library(ref, removing=True):
        open_store().remove(ref)
    click.echo(f"edgelora: {ref} is removed", err=True)


@click.command("pin", short_help="Choose the version that a name means.")
@click.argument("ref", metavar="NAME@V")
def pin(ref: str) -> None:
    """Make a version the current one, which NAME alone means; also in chats and servers that are running.

    Answers that are on their way are finished with the version they began with.
    """
    from edgelora.cli.adapters.store import open_store

    if "@" not in ref:
        raise UsageError(
            f"{ref!r} names no version", f"Write it like {ref}@2; `edgelora adapters info {ref}` lists them."
        )
    with only_in_the_library(ref):
        open_store().pin(ref)
    click.echo(ref)


@click.command("rollback", short_help="Go back to the version before.")
@click.argument("name", metavar="NAME")
def rollback(name: str) -> None:
    """Make the version current again that was so before; several times goes further back."""
    from edgelora.cli.adapters.store import open_store

    store = open_store()
    with only_in_the_library(name):
        number = store.rollback(name)
    click.echo(f"{store.read().aliases.get(name, name).partition('@')[0]}@{number}")


@click.command("alias", short_help="Let another name mean an adapter.")
@click.argument("alias", metavar="ALIAS")
@click.argument("ref", metavar="NAME[@V]", required=False)
@click.option("--remove", "gone", is_flag=True, help="Take the alias away.")
def alias(alias: str, ref: str | None, gone: bool) -> None:
    """Let ALIAS mean an adapter: always its current version, or the one that is given."""
    from edgelora.cli.adapters.store import open_store

    if gone == bool(ref):
        raise UsageError(
            "an alias needs a name to mean, or --remove", "Write it like: edgelora adapters alias law legal@2"
        )
    store = open_store()
    before = store.read().aliases.get(alias)
    if ref:
        with only_in_the_library(ref):
            store.alias(alias, ref)
        means = _meaning(store.read(), alias)
    else:
        store.unalias(alias)
        means = "nothing now"
    click.echo(f"edgelora: {alias} means {means}" + (f"; it meant {before}" if before else ""), err=True)


def _meaning(manifest: Manifest, alias: str) -> str:
    """What an alias means; of a name without a version also which one that is today."""
    from edgelora.adapters.store.changes import require

    name, number = require(manifest, alias)
    meant = manifest.aliases[alias]
    return meant if "@" in meant else f"{meant}, now {name}@{number}"
