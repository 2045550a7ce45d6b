"""``edgelora adapters verify``: is every file what it was, and does every adapter do something?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from edgelora.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edgelora.adapters.store.store import AdapterStore
    from edgelora.cli.progress import ProgressBar
    from edgelora.types import AdapterFile

_DAMAGED = "its file is damaged: its bytes are not those that were added"
_MISSING = "its file is missing"


@dataclass(frozen=True)
class Verdict:
    """What was found about one version: a ``problem`` with what to do, or its ``effect`` on the base's logits.

    ``note`` says why there is neither.
    """

    name: str
    file: AdapterFile
    problem: str = ""
    hint: str = ""
    effect: float | None = None
    note: str = ""


@click.command("verify", short_help="Check the files, and that adapters do something.")
@click.argument("refs", nargs=-1, metavar="[NAME[@V]...]")
@options.base
@click.option("--no-probe", is_flag=True, help="Only check the files.")
@options.as_json
def verify(refs: tuple[str, ...], base: str | None, no_probe: bool, as_json: bool) -> int:
    """Hash every file of the library again, and measure what each adapter changes on a base that it fits.

    That is the base of --base; by default the one in the settings or the demo's, or else one of those with names.
    Exit code 1 where a file is damaged, an adapter does nothing, or there are files that belong to nothing.
    """
    from edgelora.cli.adapters.store import open_store
    from edgelora.cli.progress import ProgressBar

    store = open_store()
    with ProgressBar() as progress:
        verdicts = list(_files(store, refs, progress))
        if not no_probe:
            verdicts = _probed(verdicts, _bases(base), progress)
    strays = store.strays() if not refs else ()
    if as_json:
        _print_json(verdicts, strays)
    else:
        _print(verdicts, strays)
    return 1 if strays or any(verdict.problem for verdict in verdicts) else 0


def _files(store: AdapterStore, refs: Iterable[str], progress: ProgressBar) -> Iterator[Verdict]:
    """The verdict on the files of all versions, or of those that ``refs`` mean."""
    from edgelora.adapters.store.changes import require
    from edgelora.cli.adapters.beside import only_in_the_library
    from edgelora.types import AdapterFile, Progress

    manifest = store.read()
    every = [(name, number) for name, adapter in manifest.adapters.items() for number in adapter.versions]
    wanted = [] if refs else every
    for ref in refs:
        with only_in_the_library(ref):
            wanted.append(require(manifest, ref))
    for done, (name, number) in enumerate(wanted):
        progress(Progress("checking files", done, len(wanted)))
        version = manifest.version(name, number)
        file = AdapterFile(f"{name}@{number}", store.path(version.sha256), version.sha256)
        problem = _problem(file)
        hint = f"Add it again: {version.origin.command(name)}" if problem in (_MISSING, _DAMAGED) else ""
        yield Verdict(file.name, file, problem, hint)


def _problem(file: AdapterFile) -> str:
    """What is wrong with the file itself, if anything."""
    from edgelora.config.locations import is_missing
    from edgelora.errors import GGUFError
    from edgelora.gguf.hashes import file_sha256

    if is_missing(file.path):
        return _MISSING
    try:
        return "" if file_sha256(file.path) == file.sha256 else _DAMAGED
    except GGUFError as error:
        return error.message


def _bases(chosen: str | None) -> list[Path]:
    """Where adapters are tried: the base that was named, else that of the settings and then all that have names."""
    from edgelora.adapters.bases import usable_bases
    from edgelora.config.resolved import base_path
    from edgelora.config.settings import load_settings

    first = base_path(load_settings({"base": chosen}))
    others = [] if chosen else sorted((facts.file_size, facts.path) for _, facts in usable_bases())
    return list(dict.fromkeys([first, *(path for _, path in others)]))


def _probed(verdicts: list[Verdict], bases: list[Path], progress: ProgressBar) -> list[Verdict]:
    """With the proof of activation for those that are whole, each on the first of ``bases`` that it fits."""
    import asyncio

    from edgelora.adapters.inspection import Inspector
    from edgelora.errors import EdgeloraError

    left = {verdict.name: verdict for verdict in verdicts if not verdict.problem}
    for base in bases:
        inspector = Inspector(base)
        problems = {
            name: inspector.inspect_kept(each.file.path, each.file.sha256).problem for name, each in left.items()
        }
        fitting = [each.file for name, each in left.items() if not problems[name]]
        effects: dict[str, float | str] = {}
        try:
            effects = asyncio.run(_effects(fitting, base, progress)) if fitting else {}
        except EdgeloraError as error:  # of the base; another one may do
            problems = {name: problem or error.message for name, problem in problems.items()}
        verdicts = [_judged(verdict, effects.get(verdict.name)) for verdict in verdicts]
        left = {
            name: replace(each, note=each.note or problems[name] or "") for name, each in left.items() if problems[name]
        }
    return [left.get(verdict.name, verdict) for verdict in verdicts]


async def _effects(files: list[AdapterFile], base: Path, progress: ProgressBar) -> dict[str, float | str]:
    """How much each changes the logits, or why the engine does not take it."""
    from edgelora.engine.client import open_engine
    from edgelora.errors import EdgeloraError
    from edgelora.types import EngineConfig, Progress

    engine = await open_engine(EngineConfig(base, ctx=256), report=progress)
    found: dict[str, float | str] = {}
    try:
        for done, file in enumerate(files):
            progress(Progress("trying adapters", done, len(files)))
            try:
                found[file.name] = (await engine.load(file)).effect
                await engine.evict(file.sha256)
            except EdgeloraError as error:
                found[file.name] = error.message
    finally:
        await engine.close()
    return found


def _judged(verdict: Verdict, effect: float | str | None) -> Verdict:
    from edgelora.types import INACTIVE

    if effect is None:
        return verdict
    if isinstance(effect, str):
        return replace(verdict, problem=effect, hint="Remove it, or export it again from what it was made of.")
    if effect < INACTIVE:
        return replace(verdict, effect=effect, problem="it changes nothing on this base", hint="Was it trained?")
    return replace(verdict, effect=effect)


def _print(verdicts: list[Verdict], strays: tuple[Path, ...]) -> None:
    for verdict in verdicts:
        found = f"whole, changes the logits by {100 * verdict.effect:.1f} %" if verdict.effect is not None else "whole"
        doubt = f"; not tried: {verdict.note}" if verdict.note else ""
        click.echo(f"{verdict.name:20} {verdict.problem or found + doubt}")
        if verdict.hint:
            click.echo(f"{'':20} {verdict.hint}")
    for stray in strays:
        click.echo(f"{stray} belongs to nothing in the library")
        click.echo(f"{'':20} Take it in: edgelora adapters add {stray} --name NAME, or move it away.")
    if not verdicts:
        click.echo("There is nothing in the library yet: edgelora adapters add SRC", err=True)


def _print_json(verdicts: list[Verdict], strays: tuple[Path, ...]) -> None:
    import json

    rows: list[dict[str, Any]] = [
        {
            "name": verdict.name,
            "sha256": verdict.file.sha256,
            "problem": verdict.problem or None,
            "effect": verdict.effect,
            "note": verdict.note or None,
        }
        for verdict in verdicts
    ]
    click.echo(json.dumps({"adapters": rows, "strays": list(map(str, strays))}, indent=2))
