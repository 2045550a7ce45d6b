"""``edgelora chat``: the conversation in the terminal."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.cli.signals import cleaning_up
from edgelora.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edgelora.adapters.library import AdapterLibrary
    from edgelora.chat.history.store import History
    from edgelora.config.settings import Settings
    from edgelora.engine.client import EngineClient
    from edgelora.merge.baked import BakedBase
    from edgelora.merge.options import MergeMember
    from edgelora.merge.trade import Trade
    from edgelora.tui.app import ChatApp
    from edgelora.tui.setup import ChatSetup
    from edgelora.types import BaseInfo, EngineConfig, ReportProgress, SamplingParams


@click.command("chat", short_help="Chat in this terminal, with an adapter picker.")
@click.option(
    "--bake",
    metavar="SEL",
    help="Chat on the base with these adapters in its weights: merged first, and kept for the next time.",
)
@click.option("--no-history", is_flag=True, help="Keep nothing of this chat on disk.")
@options.generation_options
def command(bake: str | None, no_history: bool, **given: object) -> None:
    """Chat in this terminal, and pick other adapters in the middle of a conversation.

    Without options it opens the embedded demo, a tiny model. With a base and an adapter of your own:

        edgelora chat --base ANY.gguf --adapter PATH
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the chat needs a terminal", "For scripts and pipes there is: edgelora run PROMPT")
    if bake and given["adapter"]:
        raise UsageError("--bake and --adapter exclude each other", "The chat begins with what --bake names.")
    gc.disable()  # until the first frame: of what is imported and laid out for it nothing is garbage
    from edgelora.config.settings import load_settings

    given |= {"adapter": bake or given["adapter"], "history": False if no_history else None}
    setup = _setup(load_settings(given))
    if bake:
        setup = replace(setup, baked=_baked(setup))
    from edgelora.tui.app import ChatApp

    app = ChatApp(setup)
    with cleaning_up(partial(_end, app)):
        app.run()
    sys.exit(app.return_code or 0)


def _end(app: ChatApp, code: int) -> None:
    """Told to end from outside: as quitting does, which leaves the terminal as it was."""
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # it does not run yet, or not any more
        sys.exit(code)
    loop.call_soon_threadsafe(app.exit, None, code)


def _setup(settings: Settings) -> ChatSetup:
    """Everything checked that needs no opening: a wrong option is said before the screen is taken."""
    from edgelora.adapters.selection import BASE_NAME, format_selection, parse_selection
    from edgelora.cli.inputs import system_text
    from edgelora.config.locations import chat_state_file, expanded
    from edgelora.config.resolved import engine_config, history_path
    from edgelora.tui.bases import list_bases
    from edgelora.tui.remembered import Remembered
    from edgelora.tui.setup import ChatSetup

    config, history = engine_config(settings), history_path(settings)
    folder = settings.bases and expanded(settings.bases)
    return ChatSetup(
        base=config.base,
        open_engine=partial(_open_engine, config),
        open_library=partial(_open_library, config.base),
        sampling=partial(_sampling, settings),
        bake=_bake,
        open_history=partial(_open_history, history) if history else None,
        selection=format_selection(parse_selection(settings.adapter or BASE_NAME)),
        template=settings.template,
        system=system_text(settings.system),
        is_demo=settings.base is None,
        remembered=Remembered.read(chat_state_file()),
        list_bases=lambda recent: list_bases(config, folder, recent, _named_bases()),
        theme=settings.theme or "",
        keys=settings.keys or {},
    )


def _open_library(base: Path) -> AdapterLibrary:
    from edgelora.adapters.library import AdapterLibrary

    return AdapterLibrary(base)


def _named_bases() -> dict[str, Path]:
    from edgelora.config.known_bases import known_bases

    try:
        return {name: base.path for name, base in known_bases().items()}
    except ConfigError:  # `edgelora bases` says what is wrong with their list
        return {}


def _baked(setup: ChatSetup) -> Path:
    """The base with the selection of ``setup`` in its weights, baked now if it was not before."""
    from edgelora.adapters.selection import parse_selection
    from edgelora.cli.merge import named_members, naming
    from edgelora.cli.progress import ProgressBar

    if not any(member.scale for member in parse_selection(setup.selection)):
        raise UsageError("--bake names nothing that does anything", "Name an adapter: --bake legal")
    members = [member for member in named_members(setup.base, [setup.selection]) if member.scale]
    with naming(members), ProgressBar() as progress:

        def announce(trade: Trade) -> None:
            progress.clear()
            click.echo(f"edgelora: {trade.line}", err=True)

        return setup.bake(setup.base, members, progress, announce).path


def _bake(
    base: Path, members: Sequence[MergeMember], report: ReportProgress, announce: Callable[[Trade], None]
) -> BakedBase:
    from edgelora.merge.baked import bake_apart

    return bake_apart(base, members, report, announce)


def _open_history(path: Path) -> History:
    from edgelora.chat.history.store import History

    return History(path)


async def _open_engine(config: EngineConfig, base: Path, report: ReportProgress) -> EngineClient:
    from edgelora.cli.counting import counted
    from edgelora.engine.client import open_engine

    return counted(await open_engine(replace(config, base=base), report=report))


def _sampling(settings: Settings, base: BaseInfo, card: Mapping[str, float]) -> SamplingParams:
    from edgelora.config.resolved import sampling_params

    return sampling_params(settings, base.sampling_hints, card=card)
