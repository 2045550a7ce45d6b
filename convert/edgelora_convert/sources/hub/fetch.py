"""From an address on the hub to files on disk, through huggingface-hub and its cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import ConversionError
from edgelora.types import ReportProgress, ignore_progress
from edgelora_convert.sources.hub.address import WEIGHTS
from edgelora_convert.sources.hub.failures import is_unreachable, refusal
from edgelora_convert.sources.hub.selection import select
from edgelora_convert.sources.hub.transfer import RemoteFile, download, in_mb, in_words, is_gguf_adapter, list_files

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from edgelora_convert.sources.hub.address import HubAddress

MAX_BYTES = 32 * 1024**3
"""Rank 256 on every layer of the largest open models is below this."""


@dataclass(frozen=True)
class Fetched:
    """An adapter from the hub, on disk: ``path`` is a folder, or a file with its weights.

    ``name`` is what to call it, ``commit`` what exactly it is. ``note`` says where it is not the newest for sure.
    """

    path: Path
    name: str
    address: HubAddress
    commit: str
    note: str = ""


def fetch(address: HubAddress, progress: ReportProgress = ignore_progress) -> Fetched:
    """Bring what a conversion needs of the adapter at ``address`` into the cache that huggingface-hub uses.

    Files that are there are not asked for again. Where the hub cannot be reached, or HF_HUB_OFFLINE is set, the copy
    of the last time is taken. Raises ConversionError with one reason.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="edgelora")
    with in_words(address):
        try:
            there = list_files(api, address)
        except Exception as error:
            if is_unreachable(error):
                return _from_cache(api, address, error)
            raise
        wanted = {path: there[path] for path in select(there, address)}
        _require_adapter(api, address, *list(wanted.items())[-1])
        place, commit = download(api, address, wanted, progress)
        return _found(address, list(wanted)[-1], place, commit)


def _require_adapter(api: HfApi, address: HubAddress, weights: str, file: RemoteFile) -> None:
    """Refuse what need not be downloaded to see that it is no adapter: it is too large, or its head says so."""
    if file.size > MAX_BYTES:
        raise ConversionError(str(address), [f"{weights} ({in_mb(file.size)}) is larger than any adapter"])
    if weights.endswith(".gguf") and not is_gguf_adapter(api, address, weights):
        raise ConversionError(str(address), [f"{weights} ({in_mb(file.size)}) is a whole model, not an adapter"])


def _from_cache(api: HfApi, address: HubAddress, error: Exception) -> Fetched:
    """What was downloaded before, because of ``error``."""
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:  # without patterns, which says where the files are, and asks for none
        folder = Path(
            api.snapshot_download(address.repo, revision=address.revision, local_files_only=True, allow_patterns=[])
        )
        there = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        weights = select(there, address)[-1]
    except (LocalEntryNotFoundError, ConversionError):
        before = f"there is no such folder here, and no complete copy in {constants.HF_HUB_CACHE}; "
        raise refusal(address, error, before) from error
    note = f"{refusal(address, error).problems[0]}; the copy of the last download is used (commit {folder.name[:7]})"
    return _found(address, weights, folder / weights, folder.name, note)


def _found(address: HubAddress, weights: str, place: Path, commit: str, note: str = "") -> Fetched:
    is_file = place.name not in WEIGHTS or weights == address.subfolder
    return Fetched(place if is_file else place.parent, address.name, address, commit, note)
