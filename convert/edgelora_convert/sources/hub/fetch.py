"""From an address on the hub to files on disk, through huggingface-hub and its cache."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelora.errors import ConversionError
from edgelora.types import Progress, ReportProgress, ignore_progress
from edgelora_convert.sources.hub.address import WEIGHTS
from edgelora_convert.sources.hub.failures import is_unreachable, refusal
from edgelora_convert.sources.hub.selection import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from huggingface_hub import HfApi

    from edgelora_convert.sources.hub.address import HubAddress

MAX_BYTES = 32 * 1024**3
"""Rank 256 on every layer of the largest open models is below this."""

_GGUF_HEAD = 64 * 1024
_ADAPTER_MARK = b"general.type" + b"\x08\0\0\0" + b"\x07\0\0\0\0\0\0\0" + b"adapter"
"""A GGUF string entry: key, type 8, length 7, text (ggml/docs/gguf.md)."""


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
    with _in_words(address):
        try:
            there = _sizes(api, address)
        except Exception as error:
            if is_unreachable(error):
                return _from_cache(api, address, error)
            raise
        wanted = {path: there[path] for path in select(there, address)}
        _require_adapter(api, address, *list(wanted.items())[-1])
        return _download(api, address, wanted, progress)


def _sizes(api: HfApi, address: HubAddress) -> dict[str, int]:
    """What the repository holds, in bytes by path."""
    from huggingface_hub import constants

    timeout = constants.HF_HUB_ETAG_TIMEOUT
    listed = api.model_info(address.repo, revision=address.revision, files_metadata=True, timeout=timeout)
    return {file.rfilename: file.size or 0 for file in listed.siblings or () if file.rfilename.isprintable()}


def _require_adapter(api: HfApi, address: HubAddress, weights: str, size: int) -> None:
    """Refuse what need not be downloaded to see that it is no adapter: it is too large, or its head says so."""
    from huggingface_hub import HfFileSystem

    if size > MAX_BYTES:
        raise ConversionError(str(address), [f"{weights} ({_in_mb(size)}) is larger than any adapter"])
    if weights.endswith(".gguf"):
        hub, path = HfFileSystem(endpoint=api.endpoint, skip_instance_cache=True), f"{address.repo}/{weights}"
        with hub.open(path, revision=address.revision, cache_type="none") as file:
            if _ADAPTER_MARK not in file.read(_GGUF_HEAD):
                raise ConversionError(str(address), [f"{weights} ({_in_mb(size)}) is a whole model, not an adapter"])


def _download(api: HfApi, address: HubAddress, sizes: dict[str, int], progress: ReportProgress) -> Fetched:
    """Download files, the weights at the end: where those are in the cache, the rest is.

    One after the other in this thread, so that Ctrl-C ends it at once; snapshot_download waits for its threads.
    """
    revision = api.resolve_revision(address.repo, revision=address.revision)
    total, before = sum(sizes.values()), 0
    for path, size in sizes.items():

        def report(done: int, before: int = before) -> None:
            progress(Progress(f"downloading {_in_mb(total)}", before + done, total, "bytes"))

        place = api.hf_hub_download(address.repo, path, revision=revision, tqdm_class=_bar(report))
        report(size)
        before += size
    return _found(address, path, Path(place), revision.resolved)


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


def _bar(report: Callable[[int], None]) -> type[Any]:
    """A progress bar that draws nothing, for the library to count the bytes of one file with."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            report(int(self.n))

        def update_transfer(self, *args: Any, **options: Any) -> None:
            """Xet counts bytes on the network apart from those of the file (file_download.py, xet_get)."""

        set_transfer_postfix_str = update_transfer

    return Bar


def _in_mb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


@contextmanager
def _in_words(address: HubAddress) -> Iterator[None]:
    """What the library raises, as one error; what it logs and warns about stays off the screen."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "Not enough free disk space")  # file_download.py, _check_disk_space
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        except ConversionError:
            raise
        except Exception as error:
            raise refusal(address, error) from error
        finally:
            logger.setLevel(level)
