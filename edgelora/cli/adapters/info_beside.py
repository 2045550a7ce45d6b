"""What ``edgelora adapters info`` tells of an adapter that is not in the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgelora.cli.adapters.beside import what_it_is
from edgelora.cli.adapters.words import usage_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgelora.adapters.entry import AdapterEntry

_SHOWN = ("name", "version", "sha256", "rank", "n_bytes", "targets", "trained_on", "example_prompt")


def described(entry: AdapterEntry) -> dict[str, Any]:
    """What `--json` prints, with the keys of an adapter of the library where they mean the same."""
    from dataclasses import asdict

    from edgelora.adapters.store.usage import UsageCounts
    from edgelora.config import locations

    used = UsageCounts(locations.adapters_dir()).read().get(entry.sha256 or "")
    shown = {field: getattr(entry, field) for field in _SHOWN}
    usage = {key: value for key, value in asdict(used).items() if key not in ("sha256", "name")} if used else None
    return shown | {"path": str(entry.path), "bases": _fits(entry), "usage": usage}


def lines(entry: AdapterEntry, told: Mapping[str, Any]) -> Iterator[str]:
    """The same for people."""
    yield f"{what_it_is(entry)}; it has no versions"
    hashed = f"  sha256 {entry.sha256}" if entry.sha256 else ""
    yield f"size       {entry.n_bytes / 1e6:.1f} MB{hashed}"
    if entry.rank:
        yield f"rank       {entry.rank}: {', '.join(entry.targets)}"
    if entry.example_prompt:
        yield f"try        {entry.example_prompt}"
    if entry.trained_on:
        yield f"made for   {entry.trained_on}"
    for name, problem in told["bases"].items():
        yield f"base       {name}: {problem or 'fits'}"
    if used := told["usage"]:
        yield usage_line(used)
    yield f"file       {entry.path}"


def _fits(entry: AdapterEntry) -> dict[str, str | None]:
    """For every known base why the adapter cannot be used with it, None where it can."""
    from edgelora.adapters.bases import usable_bases
    from edgelora.adapters.inspection import Inspector

    return {name: Inspector(facts.path).inspect(entry.path).problem for name, facts in usable_bases()}
