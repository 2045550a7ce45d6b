"""``edgelora`` itself: a group whose commands are imported when they are needed."""

from __future__ import annotations

import importlib

import click

import edgelora

COMMANDS = ("chat", "run", "convert", "merge", "bench", "serve", "adapters", "bases", "pull")


class LazyGroup(click.Group):
    """Finds the command NAME as ``command`` in ``edgelora.cli.NAME``.

    Those modules import nothing heavy before they run, so that the list of commands shows at once.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"edgelora.cli.{cmd_name}").command
        return command


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(edgelora.__version__, message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """One quantized base model, many LoRA adapters: chat with any of them, swap in the middle of a conversation.

    Start with `edgelora chat`. Every command has its own --help.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
