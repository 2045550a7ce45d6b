"""``edgelora bench``: measurements on this machine."""

from __future__ import annotations

import importlib

import click

BENCHMARKS = ("swap", "mixed", "load", "merge")


class _Benchmarks(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(BENCHMARKS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in BENCHMARKS:
            return None
        found: click.Command = importlib.import_module(f"edgelora.cli.bench.{cmd_name}").command
        return found


@click.group("bench", cls=_Benchmarks, no_args_is_help=True)
def command() -> None:
    """Measure what a person waits for, on this machine."""
