"""``edgelora adapters info``: all that is known of one adapter."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from edgelora.cli import options
from edgelora.cli.adapters.words import date, usage_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgelora.adapters.store.manifest import Adapter, Version
    from edgelora.adapters.store.store import AdapterStore


@click.command("info", short_help="Show all that is known of an adapter.")
@click.argument("ref", metavar="NAME[@V]")
@options.as_json
def info(ref: str, as_json: bool) -> None:
    """Show versions, origin, card, use, and which of the known bases an adapter fits.

    Of an adapter that is not in the library, the demo's or one in the adapter folder, what there is of these.
    """
    described, lines = _told(ref)
    if as_json:
        import json

        click.echo(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        for line in lines:
            click.echo(line)


def _told(ref: str) -> tuple[dict[str, Any], Iterator[str]]:
    """What `--json` prints, and the lines for people. Raises UnknownAdapterError, or AdapterError."""
    from edgelora.adapters.store.changes import require
    from edgelora.cli.adapters import beside, info_beside
    from edgelora.cli.adapters.store import open_store
    from edgelora.errors import UnknownAdapterError

    store = open_store()
    manifest = store.read()
    try:
        name, number = require(manifest, ref)
    except UnknownAdapterError:
        plain, at, _ = ref.partition("@")
        entry = beside.beside(plain)
        if entry is None:
            raise
        if at:  # only the library has versions
            raise beside.elsewhere(entry) from None
        described = info_beside.described(entry)
        return described, info_beside.lines(entry, described)
    described = _described(store, name, number, manifest.adapters[name], manifest.aliases)
    return described, _lines(described)


def _described(
    store: AdapterStore, name: str, number: int, adapter: Adapter, aliases: Mapping[str, str]
) -> dict[str, Any]:
    from dataclasses import asdict

    from edgelora.adapters.store.usage import UsageCounts

    version = adapter.versions[number]
    used = UsageCounts(store.folder.parent).read().get(version.sha256)
    return {
        "name": name,
        "version": number,
        "current": adapter.current,
        "before": list(adapter.before),
        "versions": {key: asdict(value) for key, value in adapter.versions.items()},
        "aliases": {alias: ref for alias, ref in aliases.items() if ref.partition("@")[0] == name},
        "card": asdict(adapter.card),
        "path": str(store.path(version.sha256)),
        "made_for": _bases_with(version.origin.base),
        "bases": _fits(store, version),
        "usage": {"runs": used.runs, "tokens": used.tokens, "last": used.last} if used else None,
        "report": store.report(version.sha256),
    }


def _bases_with(wanted: str) -> list[str]:
    """Names of the known bases with this fingerprint."""
    from edgelora.config import locations
    from edgelora.config.known_bases import DEMO, known_bases
    from edgelora.gguf.hashes import fingerprint

    fingerprints = {DEMO: fingerprint(locations.demo_base())}
    fingerprints |= {base.name: base.fingerprint for base in known_bases().values()}
    return [name for name, found in fingerprints.items() if found == wanted]


def _fits(store: AdapterStore, version: Version) -> dict[str, str | None]:
    """For every known base why the adapter does not fit it, None where it does."""
    from edgelora.adapters.bases import usable_bases
    from edgelora.adapters.inspection import Inspector

    path = store.path(version.sha256)
    return {name: Inspector(facts.path).inspect_kept(path, version.sha256).problem for name, facts in usable_bases()}


def _lines(described: Mapping[str, Any]) -> Iterator[str]:
    from edgelora.adapters.store.manifest import Origin

    version = described["versions"][described["version"]]
    origin, card = version["origin"], described["card"]
    yield f"{described['name']}@{described['version']}  {version['n_bytes'] / 1e6:.1f} MB  sha256 {version['sha256']}"
    if card["description"]:
        yield card["description"]
    for example in card["examples"]:
        yield f"try        {example}"
    if card["sampling"]:
        yield f"sampling   {', '.join(f'{key} {value:g}' for key, value in card['sampling'].items())}"
    yield f"source     {origin['source']}{_commit(origin['commit'])}"
    if choices := Origin(**origin).choices():
        yield f"made with  {choices}"
    yield from _converted(described["report"] or {})
    if origin["base_name"] or origin["base"]:
        yield f"made for   {_base(described['made_for'], origin)}"
    for name, problem in described["bases"].items():
        yield f"base       {name}: {problem or 'fits'}"
    for number, other in described["versions"].items():
        mark = "current" if number == described["current"] else ""
        yield f"version    {number:<4} {date(other['origin']['added'])}  {other['sha256'][:12]}  {mark}".rstrip()
    for alias, ref in described["aliases"].items():
        yield f"alias      {alias} means {ref}"
    if used := described["usage"]:
        yield usage_line(used)
    yield f"file       {described['path']}"


def _converted(report: Mapping[str, Any]) -> Iterator[str]:
    """What the conversion found, as far as its report can be read."""
    from edgelora_convert.report import Spread

    from edgelora.cli.conversion import change, printable

    with suppress(KeyError, TypeError, ValueError):
        for row in report["targets"]:
            spread = row["relative_change"]
            yield f"changes    {printable(row['target']):20} by {change(spread and Spread(**spread))} of its size"
        for warning in report["warnings"]:
            yield f"warning    {printable(warning)}"


def _base(known: Sequence[str], origin: Mapping[str, Any]) -> str:
    """The base by the names that it has here, by its own, or by its fingerprint."""
    own = origin["base_name"] or origin["base"][:12]
    return f"{', '.join(known)} ({own})" if known else own


def _commit(commit: str) -> str:
    return f" (commit {commit[:12]})" if commit else ""
