"""Options that several commands share. What is not given is None, so that settings and defaults apply."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def _base_file(_ctx: click.Context, _param: click.Parameter, value: str) -> Path:
    """The path of a base that was given by path or by name. What looks like a path is left for the command to read."""
    if "/" in value or value.lower().endswith(".gguf"):
        return Path(value)
    from edgelora.config.known_bases import named_base

    return named_base(value)


def _texts(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...] | None:
    """What was given; None where nothing was, so that the settings apply."""
    if "" in texts:
        raise click.BadParameter("an empty text is everywhere; name one that ends the answer")
    return texts or None


base = click.option(
    "--base",
    metavar="GGUF|NAME",
    help="The base model: a GGUF file, or its name.  [default: the embedded demo]",
)


def required_base(text: str) -> Callable[[Command], Command]:
    """``--base`` for commands that have no default; their parameter is a path."""
    return click.option("--base", required=True, callback=_base_file, metavar="GGUF|NAME", help=text)


adapter = click.option(
    "--adapter",
    metavar="SEL",
    help="A name, a GGUF adapter, a PEFT or MLX folder, or a mixture such as legal:0.7+medical:0.3.  [default: base]",
)
template = click.option("--template", metavar="NAME|FILE", help="Chat template instead of the one in adapter or base.")
system = click.option("--system", metavar="TEXT|@FILE", help="System prompt.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")

_ENGINE = (
    click.option("--ctx", metavar="N|auto", help="Longest conversation, in tokens.  [default: auto, at most 4096]"),
    click.option("--threads", type=int, metavar="N", help="CPU threads.  [default: the physical cores]"),
    click.option(
        "--adapter-memory", metavar="SIZE", help="For resident adapters, such as 256MB.  [default: a quarter]"
    ),
    click.option("--gpu-layers", type=int, metavar="N", help="Layers to put on the GPU.  [default: 0]"),
)
_SAMPLING = (
    click.option("--temperature", type=float, metavar="T", help="0 always takes the likeliest token.  [default: 0.7]"),
    click.option("--top-k", type=int, metavar="K", help="0 is off.  [default: 40]"),
    click.option("--top-p", type=float, metavar="P", help="1 is off.  [default: 0.95]"),
    click.option("--min-p", type=float, metavar="P", help="0 is off.  [default: 0.05]"),
    click.option("--repeat-penalty", type=float, metavar="X", help="1 is off.  [default: 1]"),
    click.option("--seed", type=int, metavar="N", help="The same seed gives the same answer."),
    click.option(
        "--stop",
        multiple=True,
        metavar="TEXT",
        callback=_texts,
        help="End the answer before this text; may be repeated.",
    ),
)


def _all(options: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


engine_options: Callable[[Any], Any] = _all(_ENGINE)
"""How the engine is opened."""

generation_options: Callable[[Any], Any] = _all((base, adapter, *_ENGINE, template, system, *_SAMPLING))
"""Everything that `chat` and `run` have in common."""
