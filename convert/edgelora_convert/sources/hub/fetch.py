"""From an address on the hub to files on disk."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import ConversionError
from edgelora.types import ReportProgress, ignore_progress
from edgelora_convert.sources.hub import failures
from edgelora_convert.sources.hub.cache import RepoCache
from edgelora_convert.sources.hub.client import HubClient, file_path
from edgelora_convert.sources.hub.selection import NothingToConvert, Selection, select
from edgelora_convert.sources.hub.snapshot import complete, in_words

if TYPE_CHECKING:
    from edgelora_convert.sources.hub.address import HubAddress
    from edgelora_convert.sources.hub.client import HubFile, Listing

MAX_WEIGHTS_BYTES = 32 * 1024**3
"""Rank 256 on every layer of the largest open models is below this."""

_GGUF_HEAD = 64 * 1024
_ADAPTER_MARK = b"general.type" + b"\x08\0\0\0" + b"\x07\0\0\0\0\0\0\0" + b"adapter"
"""A GGUF string entry: key, type 8, length 7, text (ggml/docs/gguf.md)."""


@dataclass(frozen=True)
class Fetched:
    """An adapter from the hub, on disk: ``path`` is a folder or a file.

    ``name`` is what to call it, ``commit`` what exactly it is. ``note`` says where it is not the newest for sure.
    """

    path: Path
    name: str
    address: HubAddress
    commit: str
    note: str = ""

    @property
    def url(self) -> str:
        """Where people can look at it."""
        return f"https://huggingface.co/{self.address.repo}"


def fetch(address: HubAddress, progress: ReportProgress = ignore_progress) -> Fetched:
    """Download what a conversion needs of the adapter at ``address`` into the cache that huggingface-hub uses.

    Only what is not there is asked for, and an interrupted download is continued. Where the hub cannot be reached, or
    HF_HUB_OFFLINE is set, the copy of the last time is taken. Raises ConversionError with one reason.
    """
    from huggingface_hub import constants

    cache = RepoCache(Path(constants.HF_HUB_CACHE), address.repo)
    if constants.is_offline_mode():
        return _from_cache(cache, address, "HF_HUB_OFFLINE is set", "Unset it once, to download the adapter.")
    client = HubClient()
    try:
        listing = client.list_files(address)
    except failures.TALKING as error:
        reason, hint = failures.explain(error, client, address)
        if failures.is_unreachable(error):
            return _from_cache(cache, address, reason, hint)
        raise ConversionError(str(address), [reason], hint) from None
    try:
        selection = _select(client, listing, address)
        complete(cache, client, listing, selection, progress)
        with suppress(OSError):  # a cache that cannot be written, but has everything, is good enough
            cache.remember(address.revision, listing.commit)
    except NothingToConvert as error:
        raise ConversionError(str(address), [error.reason], error.hint) from None
    except (*failures.TALKING, OSError) as error:
        reason, hint = failures.explain(error, client, address)
        raise ConversionError(str(address), [reason], hint) from None
    return _found(cache, address, listing.commit, selection)


def _from_cache(cache: RepoCache, address: HubAddress, reason: str, hint: str) -> Fetched:
    """What was downloaded before, because of ``reason``."""
    commit = cache.last_commit(address.revision) or ""
    try:
        selection = select(cache.files(commit), address.subfolder)
    except NothingToConvert:
        selection = Selection(None)
    if selection.weights is None:
        where = f"there is no such folder here, and no complete copy in {cache.folder}"
        raise ConversionError(str(address), [f"{where}; {reason}"], hint)
    note = f"{reason}; the copy of the last download is used (commit {commit[:7]})"
    return _found(cache, address, commit, selection, note)


def _found(cache: RepoCache, address: HubAddress, commit: str, selection: Selection, note: str = "") -> Fetched:
    place = selection.weights if selection.is_file else address.subfolder
    return Fetched(cache.snapshot(commit) / (place or ""), address.name, address, commit, note)


def _select(client: HubClient, listing: Listing, address: HubAddress) -> Selection:
    """What to take; a lone GGUF only if it is an adapter. Raises NothingToConvert."""
    selection = select(listing.files, address.subfolder)
    if selection.weights is None:
        return selection
    weights = listing.files[selection.weights]
    if selection.is_gguf and not _is_gguf_adapter(client, address.repo, listing.commit, weights):
        raise NothingToConvert(f"{weights.path} ({in_words(weights.size)}) is a whole model, not an adapter")
    if weights.size > MAX_WEIGHTS_BYTES:
        raise NothingToConvert(f"{weights.path} has {in_words(weights.size)}, more than any adapter")
    return selection


def _is_gguf_adapter(client: HubClient, repo: str, commit: str, file: HubFile) -> bool:
    """Does its metadata say so? It stands at the beginning, so that a whole model need not come first."""
    head = b""
    with client.get(file_path(repo, commit, file.path), {"Range": f"bytes=0-{_GGUF_HEAD - 1}"}) as response:
        for chunk in response.iter_bytes():
            head += chunk
            if _ADAPTER_MARK in head or len(head) >= _GGUF_HEAD:
                break
    return _ADAPTER_MARK in head
