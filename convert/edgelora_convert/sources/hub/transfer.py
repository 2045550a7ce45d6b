"""Lists and downloads files of a repository, through huggingface-hub and its cache, and checks what has come."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelora.errors import ConversionError, EdgeloraError
from edgelora.gguf.hashes import file_sha256
from edgelora.types import Progress
from edgelora_convert.sources.hub.failures import refusal
from edgelora_convert.sources.hub.resuming import WAITING, bring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from huggingface_hub import HfApi

    from edgelora.types import ReportProgress
    from edgelora_convert.sources.hub.address import HubAddress

_GGUF_HEAD = 64 * 1024
_ADAPTER_MARK = b"general.type" + b"\x08\0\0\0" + b"\x07\0\0\0\0\0\0\0" + b"adapter"
"""A GGUF string entry: key, type 8, length 7, text (ggml/docs/gguf.md)."""


@dataclass(frozen=True)
class RemoteFile:
    """A file on the hub: its size in bytes, and its SHA-256 where the hub says it (files in LFS or Xet)."""

    size: int
    sha256: str = ""


def list_files(api: HfApi, address: HubAddress) -> dict[str, RemoteFile]:
    """What the repository holds, by path."""
    from huggingface_hub import constants

    timeout = constants.HF_HUB_ETAG_TIMEOUT
    listed = api.model_info(address.repo, revision=address.revision, files_metadata=True, timeout=timeout)
    return {
        file.rfilename: RemoteFile(file.size or 0, (file.lfs and file.lfs.sha256) or "")
        for file in listed.siblings or ()
        if file.rfilename.isprintable()
    }


def is_gguf_adapter(api: HfApi, address: HubAddress, path: str) -> bool:
    """Whether a GGUF on the hub is an adapter, by its first bytes."""
    from huggingface_hub import HfFileSystem

    hub = HfFileSystem(endpoint=api.endpoint, skip_instance_cache=True)
    with hub.open(f"{address.repo}/{path}", revision=address.revision, cache_type="none") as file:
        return _ADAPTER_MARK in file.read(_GGUF_HEAD)


def download(
    api: HfApi, address: HubAddress, files: Mapping[str, RemoteFile], progress: ReportProgress
) -> tuple[Path, str]:
    """Download ``files`` in their order; where the last one is, and which commit they are of.

    One after the other in this thread, so that Ctrl-C ends it at once; snapshot_download waits for its threads. What
    has come of a file is kept, and the next time only the rest is asked for.
    """
    revision = api.resolve_revision(address.repo, revision=address.revision)
    total, before = sum(file.size for file in files.values()), 0
    for path, file in files.items():

        def report(done: int, before: int = before) -> None:
            progress(Progress(f"downloading {in_mb(total)}", before + done, total, "bytes"))

        def tell_waiting(before: int = before) -> None:
            progress(Progress(WAITING, before, total, "bytes"))

        bring(api, address, path, file, revision.resolved, _bar(report), tell_waiting)
        place = Path(api.hf_hub_download(address.repo, path, revision=revision, tqdm_class=_bar(report)))
        report(file.size)
        progress(Progress("checking the download", before + file.size, total, "bytes"))
        _require_whole(place, path, file, address)
        before += file.size
    return place, revision.resolved


def _require_whole(place: Path, path: str, file: RemoteFile, address: HubAddress) -> None:
    """Raise ConversionError, and throw the file away, unless it is what the hub says it is."""
    if file.sha256 and file_sha256(place) != file.sha256:
        place.resolve().unlink()
        place.unlink(missing_ok=True)
        raise ConversionError(str(address), [f"what came as {path} is damaged"], "Run the same command again.")


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


def in_mb(size: int) -> str:
    """`1.2 GB` or `3.4 MB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


@contextmanager
def in_words(address: HubAddress) -> Iterator[None]:
    """What the library raises, as one ConversionError; what it logs and warns about stays off the screen."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "Not enough free disk space")  # file_download.py, _check_disk_space
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        except EdgeloraError:
            raise
        except Exception as error:
            raise refusal(address, error) from error
        finally:
            logger.setLevel(level)
