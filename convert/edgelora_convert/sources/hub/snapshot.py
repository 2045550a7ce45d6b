"""Bringing a snapshot in the cache to what a selection needs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from edgelora.types import Progress, ReportProgress
from edgelora_convert.sources.hub.client import file_path
from edgelora_convert.sources.hub.download import download
from edgelora_convert.sources.hub.selection import NothingToConvert

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora_convert.sources.hub.cache import RepoCache
    from edgelora_convert.sources.hub.client import HubClient, HubFile, Listing
    from edgelora_convert.sources.hub.selection import Selection

MAX_COMPANION_BYTES = 16 * 1024 * 1024
"""A larger one is no text that travels along; it is left out."""


def complete(
    cache: RepoCache, client: HubClient, listing: Listing, selection: Selection, progress: ReportProgress
) -> None:
    """Download what the snapshot of ``listing.commit`` lacks, in the order of the selection.

    Raises NothingToConvert where the disk has no room for it, and as ``download``.
    """
    snapshot = cache.snapshot(listing.commit)
    lacking = [file for file in _wanted(listing, selection) if not (snapshot / file.path).exists()]
    total, before = sum(file.size for file in lacking), 0
    _require_room(cache, total)
    for file in lacking:

        def report(done: int, before: int = before) -> None:
            progress(Progress(f"downloading {in_words(total)}", before + done, total, "bytes"))

        if not _is_whole(cache.blob(file.digest), file.size):
            partial = cache.partial(file.digest)
            download(client, file_path(cache.repo, listing.commit, file.path), file, partial, report)
            partial.replace(cache.blob(file.digest))
        cache.link(file.digest, listing.commit, file.path)
        before += file.size


def in_words(size: int) -> str:
    """A number of bytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _wanted(listing: Listing, selection: Selection) -> list[HubFile]:
    files = [listing.files[path] for path in selection.paths]
    return [file for file in files if file.path == selection.weights or file.size <= MAX_COMPANION_BYTES]


def _is_whole(blob: Path, size: int) -> bool:
    return blob.is_file() and blob.stat().st_size == size


def _require_room(cache: RepoCache, size: int) -> None:
    place = next(folder for folder in (cache.folder, *cache.folder.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if size > free:
        reason = f"it has {in_words(size)}, and there is room for {in_words(free)} in {place}"
        raise NothingToConvert(reason, "Make room, or set HF_HOME to a folder on another disk.")
