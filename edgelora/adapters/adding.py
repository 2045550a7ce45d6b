"""Anything that holds a LoRA into the library: a GGUF adapter as it is, everything else converted."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelora.adapters.store.manifest import Card, Origin
from edgelora.config.locations import expanded
from edgelora.errors import AdapterError, ConversionError, EdgeloraError
from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.fit import check_fit
from edgelora.gguf.reader import read_header
from edgelora.gguf.split import read_joined
from edgelora.types import Progress, ReportProgress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgelora_convert.encode import DType
    from edgelora_convert.options import Options
    from edgelora_convert.report import ConversionReport
    from edgelora_convert.sources.hub.address import HubAddress

    from edgelora.adapters.store.store import AdapterStore, Added
    from edgelora.gguf.header import Header

_SOURCE_SHA256, _COMMIT, _BASE = "edgelora.source_sha256", "edgelora.source_commit", "edgelora.base_fingerprint"


@dataclass(frozen=True, slots=True)
class Source:
    """What to add: ``sources`` as `convert` takes them, for ``base``; several become one adapter.

    ``must_fit``: somebody named the base, so that an adapter for another one is refused. ``address`` and ``commit`` say
    where on the hub it is from, if it was fetched.
    """

    sources: tuple[str, ...]
    base: Path
    must_fit: bool = True
    dtype: DType = "auto"
    options: Options | None = None
    address: HubAddress | None = None
    commit: str = ""


def add(
    store: AdapterStore,
    name: str,
    source: Source,
    card: Card = Card(),  # noqa: B008 - a frozen value
    report: ReportProgress = ignore_progress,
) -> tuple[Added, ConversionReport | None]:
    """Take ``source`` into the library under ``name``; with what the conversion did, if one was needed.

    A GGUF adapter is taken byte for byte, unless something is asked of it or it does not fit the base that must be fit.
    Raises AdapterError, GGUFError or ConversionError; nothing is left behind then.
    """
    with store.incoming() as folder:
        made = folder / "adapter.gguf"
        converted = None
        if not _is_taken_as_it_is(source):
            converted = _converted(source, made, report)
        else:
            _copied(expanded(source.sources[0]), made, report)
        origin = _origin(source, read_header(made), converted)
        return store.add(name, made, origin, card, converted.to_dict() if converted else None), converted


def _is_taken_as_it_is(source: Source) -> bool:
    """Whether there is one GGUF adapter of which nothing is asked, and it fits the base if it must."""
    if len(source.sources) != 1 or source.dtype != "auto" or _asks_for_something(source.options):
        return False
    header = _adapter_header(expanded(source.sources[0]))
    return header is not None and (not source.must_fit or not check_fit(header, read_joined(source.base)))


def _asks_for_something(options: Options | None) -> bool:
    from edgelora_convert.options import EVERYTHING

    return options is not None and options != EVERYTHING


def _adapter_header(path: Path) -> Header | None:
    """The header of a GGUF adapter; None for anything else."""
    try:
        if not path.is_file() or path.suffix.lower() != ".gguf":
            return None
        header = read_header(path)
    except (OSError, EdgeloraError):
        return None  # the converter says what is wrong with it
    return header if header.metadata.get("general.type") == "adapter" else None


def _converted(source: Source, made: Path, report: ReportProgress) -> ConversionReport:
    from edgelora_convert.convert import convert
    from edgelora_convert.options import EVERYTHING
    from edgelora_convert.problems import OTHER_BASE

    try:
        return convert(source.sources, source.base, made, source.dtype, report, source.options or EVERYTHING)
    except ConversionError as error:
        if source.must_fit or error.hint != OTHER_BASE:
            raise
        hint = f"It was to be converted for {source.base}; --base chooses another base."
        raise ConversionError(error.source, error.problems, hint) from None


def _copied(path: Path, made: Path, report: ReportProgress) -> None:
    from edgelora.gguf.values import check_values

    report(Progress("copying", 0, path.stat().st_size, "bytes"))
    try:
        shutil.copyfile(path, made)
    except OSError as error:
        raise AdapterError(f"{path} cannot be copied to {made.parent} ({error.strerror})") from None
    header = read_header(made)
    AdapterFacts.of(header)  # says what is wrong with other kinds of adapters
    if problems := check_values(header):
        raise AdapterError(f"{path}: {problems[0]}", "Such an adapter ruins every answer; export it again.")


def _origin(source: Source, header: Header, converted: ConversionReport | None) -> Origin:
    """Where it is from; of a GGUF that was taken as it is, as far as it says so itself."""
    said: dict[str, Any] = {
        "source_sha256": header.get(_SOURCE_SHA256, ""),
        "commit": header.get(_COMMIT, ""),
        "base": header.get(_BASE, ""),
        "base_name": header.get("general.base_model.0.name", ""),
        "converter": header.get("edgelora.converter", 0),
    }
    if converted:
        said |= {"base_name": converted.base_name, "base_path": str(source.base.resolve())}
    said["commit"] = source.commit or said["commit"]
    said["arguments"] = shlex.join(_arguments(source))
    shown = str(source.address) if source.address else " + ".join(map(_shown, source.sources))
    return Origin(shown, time.time(), **said)


def _arguments(source: Source) -> Iterator[str]:
    """What `edgelora` takes to do the same."""
    from edgelora_convert.options import EVERYTHING

    if source.address:
        inside = f":{source.address.subfolder}" if source.address.subfolder else ""
        yield from ("pull", f"{source.address.repo}{inside}", f"--revision={source.commit}")
        return
    yield from ("adapters", "add", *map(_shown, source.sources))
    if source.dtype != "auto":
        yield f"--dtype={source.dtype}"
    yield from (source.options or EVERYTHING).arguments()


def _shown(source: str) -> str:
    """A path that still means something from elsewhere; an address as it is."""
    path = expanded(source)
    return str(path.absolute()) if os.path.exists(path) else source
