"""``edgelora adapters remove``, ``pin``, ``rollback`` and ``alias``: what names mean."""

from __future__ import annotations

import click

from edgelora.errors import UsageError


@click.command("remove", short_help="Remove an adapter, or one version of it.")
@click.argument("ref", metavar="NAME[@V]")
def remove(ref: str) -> None:
    """Remove an adapter with all its versions, or one version that is not the current one.

    What a running chat or server uses is not removed. Only the library's own copy goes.
    """
    from edgelora.cli.adapters.store import open_store

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
    open_store().pin(ref)
    click.echo(ref)


@click.command("rollback", short_help="Go back to the version before.")
@click.argument("name", metavar="NAME")
def rollback(name: str) -> None:
    """Make the version current again that was so before; several times goes further back."""
    from edgelora.cli.adapters.store import open_store

    store = open_store()
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
    if ref:
        open_store().alias(alias, ref)
    else:
        open_store().unalias(alias)
