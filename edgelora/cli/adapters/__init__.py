"""``edgelora adapters``: the library of adapters."""

from __future__ import annotations

import click

from edgelora.cli.adapters.adding import add
from edgelora.cli.adapters.baked import baked
from edgelora.cli.adapters.changing import alias, pin, remove, rollback
from edgelora.cli.adapters.info import info
from edgelora.cli.adapters.listing import list_, path
from edgelora.cli.adapters.verifying import verify


class _InOrder(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group("adapters", cls=_InOrder, no_args_is_help=True, short_help="Keep adapters under names, with versions.")
def command() -> None:
    """Keep adapters under names, with versions that can be changed and taken back while chats and servers run.

    What lies in the adapter folder (`path`) can be used without being added.
    """


for each in (list_, add, remove, pin, rollback, alias, info, verify, path, baked):
    command.add_command(each)
