"""What a repository on the hub offers: a base, whole or in parts, or an adapter; and bases from there."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from edgelora.adapters.bases import add_base
from edgelora.adapters.naming import name_from_stem
from edgelora.config.known_bases import DEMO, KnownBase, known_bases
from edgelora.errors import ConfigError, ConversionError, UsageError
from edgelora.gguf.split import stem_of
from edgelora.types import ReportProgress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from edgelora_convert.sources.hub.address import HubAddress
    from edgelora_convert.sources.hub.transfer import RemoteFile

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_ENDINGS = (".gguf", ".safetensors", ".bin")
_LISTED = 12
_NO_GGUF = "A base must be a GGUF; many models have a repository of their own for those, its name often ends in -GGUF."


@dataclass(frozen=True)
class Found:
    """What is to be taken of ``address``: the files of a base, or an adapter, whose place is in the address then."""

    address: HubAddress
    base: Mapping[str, RemoteFile] | None = None


def parse_pull(text: str, revision: str | None) -> tuple[HubAddress, str]:
    """Repository and file pattern of ``org/repo``, ``org/repo:*Q4_K_M*`` or a link. Raises UsageError."""
    from edgelora_convert.sources.hub.address import parse_address

    repo, _, pattern = text.partition(":") if "://" not in text else (text, "", "")
    address = parse_address(repo, revision)
    if address is None:
        raise UsageError(f"{text!r} is no repository", "Write it like org/repo, or org/repo:*Q4_K_M.gguf for one file.")
    return replace(address, subfolder=""), pattern or address.subfolder


def look(address: HubAddress, pattern: str) -> Found:
    """What ``pattern``, a path in which ``*`` stands for anything, means in the repository; without one the adapter or
    the only base in it. Raises ConfigError with what there is."""
    from edgelora_convert.sources.hub.transfer import in_words, is_gguf_adapter, list_files
    from huggingface_hub import HfApi

    api = HfApi(library_name="edgelora")
    with _pulling(address), in_words(address):
        files = list_files(api, address)
        path = _chosen(address, files, pattern)
        if path.endswith(".gguf") and not is_gguf_adapter(api, address, path):
            return Found(address, {part: files[part] for part in _parts(path, files)})
        return Found(replace(address, subfolder=path))


def pull_base(found: Found, name: str | None = None, report: ReportProgress = ignore_progress) -> KnownBase:
    """Bring a base into the cache that huggingface-hub uses, and give it a name. Raises ConfigError, or GGUFError."""
    from edgelora_convert.sources.hub.transfer import download, in_words
    from huggingface_hub import HfApi

    assert found.base
    with _pulling(found.address), in_words(found.address):
        backwards = dict(reversed([*found.base.items()]))  # the last is the first part, which stands for all
        path, _ = download(HfApi(library_name="edgelora"), found.address, backwards, report)
    return add_base(path, name or _name(path))


def _chosen(address: HubAddress, files: Mapping[str, RemoteFile], pattern: str) -> str:
    """The path that ``pattern`` means: of a GGUF, of an adapter's weights or folder; empty for the top."""
    from edgelora_convert.sources.hub.selection import select

    if not pattern:
        try:
            weights = select(files, address)[-1]
            return weights if weights.endswith(".gguf") else ""
        except ConversionError:
            candidates = [path for path in files if path.endswith(".gguf")]
    elif any(path.startswith(f"{pattern.strip('/')}/") for path in files):
        return pattern.strip("/")
    else:
        candidates = [path for path in files if path.endswith(_ENDINGS) and _matches(path, pattern)]
    firsts = [path for path in candidates if not _is_later_part(path) and "mmproj" not in path.lower()]
    if len(firsts) == 1:
        return firsts[0]
    there = firsts or [path for path in files if path.endswith(".gguf") and not _is_later_part(path)]
    raise ConfigError(
        f"{address}: {_several(firsts, pattern)}",
        f"Choose one, like {address.repo}:{there[0]}; there are: {_listing(there)}" if there else _NO_GGUF,
    )


def _several(firsts: Collection[str], pattern: str) -> str:
    if firsts:
        return f"{len(firsts)} files could be meant"
    return f"no GGUF and no adapter there is called {pattern}" if pattern else "there is no GGUF and no adapter in it"


def _listing(paths: list[str]) -> str:
    more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
    return ", ".join(paths[:_LISTED]) + more


def _matches(path: str, pattern: str) -> bool:
    """Case does not count, and a pattern without a folder is about names."""
    path, pattern = path.lower(), pattern.lower()
    return fnmatchcase(path, pattern) or fnmatchcase(path.rpartition("/")[2], pattern)


def _is_later_part(path: str) -> bool:
    match = _PART.search(path)
    return match is not None and int(match[1]) != 1


def _parts(path: str, files: Mapping[str, RemoteFile]) -> list[str]:
    """All parts of the base that begins with ``path``, in order. Raises ConfigError where one is missing."""
    match = _PART.search(path)
    if match is None:
        return [path]
    stem = path[: match.start()]
    parts = [f"{stem}-{number:05d}-of-{match[2]}.gguf" for number in range(1, int(match[2]) + 1)]
    if missing := [part for part in parts if part not in files]:
        raise ConfigError(f"{path} is one of {len(parts)} parts, and {missing[0]} is not in the repository")
    return parts


def _name(path: Path) -> str:
    """The file's name, also where another revision of the same repository has it already."""
    repo = path.parents[2] if len(path.parents) > 2 else path.parent
    same = {name: base for name, base in known_bases().items() if repo not in base.path.parents}
    return name_from_stem(stem_of(path), {DEMO, *same})


@contextmanager
def _pulling(address: HubAddress) -> Iterator[None]:
    """The converter's words for trouble with the hub as those of pulling."""
    try:
        yield
    except ConversionError as error:
        reason = error.problems[0].removeprefix("there is no such folder here, and ")
        raise ConfigError(f"cannot pull {address}: {reason}", error.hint) from error
