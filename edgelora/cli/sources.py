"""What several commands take as SRC: adapters in any form, and what to choose of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgelora.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora_convert.options import Options

DTYPES = ("auto", "f16", "f32", "bf16", "q8_0")
NAMELESS = ("adapter_model", "adapters", "adapter_config")
"""Files that are called the same in every folder."""

MOE_B_LAYOUTS = ("peft", "unsloth-legacy")


def _layers(_ctx: click.Context, _param: click.Parameter, value: str | None) -> frozenset[int] | None:
    """Numbers and ranges such as `0-11,20`."""
    if value is None:
        return None
    found: set[int] = set()
    for part in value.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdigit() and len(end) < 5 for end in ends) or int(ends[0]) > int(ends[1]):
            raise click.BadParameter(f"{part!r} is no layer and no range of layers; write it like 0-11,20")
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    return frozenset(found)


def _names(_ctx: click.Context, _param: click.Parameter, value: str | None) -> frozenset[str] | None:
    """Names with commas between them."""
    return None if value is None else frozenset(filter(None, (name.strip() for name in value.split(","))))


_CHOICES = (
    click.option(
        "--dtype", type=click.Choice(DTYPES), default="auto", show_default=True, help="auto: F16 where it holds."
    ),
    click.option("--scale", "scales", type=float, multiple=True, metavar="X", help="Multiply by X; one for each SRC."),
    click.option("--layers", callback=_layers, metavar="LIST", help="Only these layers, such as 0-11,20."),
    click.option("--modules", callback=_names, metavar="LIST", help="Only these tensors, such as attn_q,attn_v."),
    click.option("--revision", metavar="R", help="Branch, tag or commit of a SRC on the hub.  [default: main]"),
    click.option("--subfolder", metavar="D", help="Where in a SRC on the hub the adapter is: a folder or a file."),
    click.option(
        "--moe-b-layout",
        type=click.Choice(MOE_B_LAYOUTS),
        default="peft",
        show_default=True,
        help="How expert parameters are stored; unsloth-legacy is Unsloth before September 2026.",
    ),
    click.option("--exact-norms", is_flag=True, help="Compare with all of the base's weights, not with a sample."),
)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose of SRC; ``dtype``, and the fields of the converter's Options."""
    for option in reversed(_CHOICES):
        command = option(command)
    return command


def check_choices(sources: Sequence[str], chosen: Options) -> None:
    """Raise UsageError for options that do not fit the sources."""
    if len(chosen.scales) not in (0, len(sources)):
        raise UsageError(
            f"--scale is given {len(chosen.scales)} times for {len(sources)} SRC", "Give one for each SRC."
        )
    if not all(math.isfinite(scale) for scale in chosen.scales):
        raise UsageError("--scale must be a number", "Give one like 0.5, or -1 to take the adapter away.")
    only_hub = [name for name in ("revision", "subfolder") if getattr(chosen, name) is not None]
    if only_hub and all(Path(src).exists() for src in sources):
        raise UsageError(f"--{only_hub[0]} is for a repository on the hub, and SRC is here already")


def joined_name(sources: Sequence[str], chosen: Options) -> str:
    """What the adapter that is made of ``sources`` is called."""
    return "+".join(_name(src, chosen) for src in sources)


def _name(src: str, chosen: Options) -> str:
    """What an adapter is called: as its repository, its file if that has a name of its own, or its folder."""
    from edgelora_convert.sources.find import name_of
    from edgelora_convert.sources.hub.address import parse_address

    path = Path(src)
    if not os.path.exists(path) and (address := parse_address(src, chosen.revision, chosen.subfolder)):
        return address.name
    if not os.path.isfile(path):  # no error where it is too long for a path
        return name_of(path)
    return name_of(path.parent) if path.stem in NAMELESS else path.stem
