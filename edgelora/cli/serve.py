"""``edgelora serve``: an endpoint for many clients, with the adapter chosen per request."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.merge.options import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgelora.config.settings import Settings
    from edgelora.merge.options import Precision
    from edgelora.server.options import ServerOptions
    from edgelora.server.running import Server


@click.command("serve", short_help="Serve the base and its adapters to OpenAI's clients.")
@click.option("--host", default="127.0.0.1", metavar="H", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, metavar="P", help="0 is any.  [default: 8080]")
@click.option(
    "--api-key",
    envvar="EDGELORA_API_KEY",
    metavar="K|@FILE",
    help="What clients must send; EDGELORA_API_KEY says the same. A file holds one key a line.",
)
@click.option("--tenants", type=click.Path(path_type=Path), metavar="FILE", help="Who may use what, as TOML.")
@click.option("--open-to-all", is_flag=True, help="Serve other machines without a key.")
@click.option(
    "--adapter-root",
    "adapter_roots",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    metavar="DIR",
    help="A folder whose adapters requests may name by path; may be repeated.",
)
@click.option("--dynamic-adapters", is_flag=True, help="Allow POST /v1/load_lora_adapter and unload.")
@click.option(
    "--answer-time", type=click.FloatRange(min=1), default=600, metavar="S", help="Longest answer in seconds."
)
@click.option(
    "--bake",
    "bake",
    multiple=True,
    metavar="SEL[,SEL]",
    help="Serve these adapters or mixtures from bases of their own that they are baked into; may be repeated.",
)
@click.option(
    "--bake-precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Types of what is baked, as for merge.",
)
@options.generation_options
def command(
    host: str,
    port: int,
    api_key: str | None,
    tenants: Path | None,
    open_to_all: bool,
    adapter_roots: tuple[Path, ...],
    dynamic_adapters: bool,
    answer_time: float,
    bake: tuple[str, ...],
    bake_precision: Precision,
    **generation: object,
) -> None:
    """Serve the base and all its adapters on one address; the `model` of a request says which adapter answers.

    Ctrl-C lets running answers finish, a second one stops at once. Prompts are not logged.
    """
    from edgelora.adapters.selection import BASE_NAME, format_selection, parse_selection
    from edgelora.cli.inputs import system_text
    from edgelora.config.settings import load_settings
    from edgelora.server.options import ServerOptions

    settings = load_settings(generation)
    server_options = ServerOptions(
        host=host,
        port=port,
        keys=_keys(api_key),
        open_to_all=open_to_all,
        tenants=tenants,
        default=format_selection(parse_selection(settings.adapter or BASE_NAME)),
        template=settings.template,
        system=system_text(settings.system),
        adapter_roots=adapter_roots,
        dynamic_adapters=dynamic_adapters,
        answer_s=answer_time,
        bake=_baked(bake),
        bake_precision=bake_precision,
    )
    _serve(settings, server_options)


def _baked(given: Sequence[str]) -> tuple[str, ...]:
    """The selections of all ``--bake``, as canonical texts. Raises UsageError for what would bake nothing."""
    from edgelora.adapters.selection import format_selection, parse_selection
    from edgelora.errors import UsageError

    selections = [parse_selection(text) for texts in given for text in texts.split(",")]
    if not all(any(member.scale for member in members) for members in selections):
        raise UsageError("--bake names something that does nothing", "Name adapters: --bake legal,medical:0.5")
    return tuple(dict.fromkeys(map(format_selection, selections)))


def _keys(given: str | None) -> tuple[str, ...]:
    """The keys of the option: itself, or the lines of a file after an `@`."""
    from edgelora.errors import UsageError

    if not given:
        return ()
    if not given.startswith("@"):
        return (given,)
    file = given[1:]
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").split()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"the keys in {file!r} cannot be read: {reason}") from None
    if not lines:
        raise UsageError(f"there is no key in {file!r}")
    return tuple(lines)


def _serve(settings: Settings, server_options: ServerOptions) -> None:
    import asyncio
    import logging

    from edgelora.cli.boundary import INTERRUPTED
    from edgelora.cli.progress import ProgressBar
    from edgelora.config.resolved import engine_config, sampling_params
    from edgelora.server.running import serve
    from edgelora.types import BaseInfo, SamplingParams

    logging.basicConfig(level=logging.INFO, format="edgelora: %(message)s", stream=sys.stderr)
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)

    def sampling(base: BaseInfo, card: Mapping[str, float]) -> SamplingParams:
        return sampling_params(settings, base.sampling_hints, card=card)

    with ProgressBar() as progress:

        def ready(server: Server) -> None:
            progress.clear()
            click.echo(f"edgelora: listening on {server.address}", err=True)

        finished = asyncio.run(serve(engine_config(settings), server_options, sampling, ready=ready, report=progress))
    if not finished:
        sys.exit(INTERRUPTED)
