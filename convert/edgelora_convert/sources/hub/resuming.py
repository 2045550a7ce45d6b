"""Large files from the hub, gone on with where an earlier run was cut off.

huggingface-hub throws away what has come of a file when its process ends (`_download_to_tmp_and_move` in its
file_download.py). So the file is brought here, under the name that its cache gives to this content, and huggingface-hub
finds it there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edgelora.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from huggingface_hub import HfApi

    from edgelora_convert.sources.hub.address import HubAddress
    from edgelora_convert.sources.hub.transfer import RemoteFile

WAITING = "waiting for another process that downloads the same file"
"""The stage in which this one has nothing to do; the other one may be stopped, and then it lasts."""

_PATIENCE_S = 1.5  # a lock that comes within this is not worth a word
_LOOK_S = 0.05
_WAITS = (1.0, 2.0, 4.0)
"""Seconds between attempts."""


def bring(
    api: HfApi,
    address: HubAddress,
    path: str,
    file: RemoteFile,
    commit: str,
    progress_bar: type[Any],
    tell_waiting: Callable[[], None],
) -> None:
    """Bring ``path`` into the cache unless it is there; nothing is done for a file whose hash the hub does not say.

    What has come stays, whatever ends this. The content is not compared with the hash here. ``tell_waiting`` is called
    once if another process brings the same and takes its time. Raises ConversionError where the disk is too full, and
    what huggingface-hub raises.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import repo_folder_name

    blobs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=address.repo, repo_type="model") / "blobs"
    blob = blobs / file.sha256
    if not file.sha256 or file.size > constants.MAX_HTTP_DOWNLOAD_SIZE or blob.exists():
        return
    blobs.mkdir(parents=True, exist_ok=True)
    partial = blobs / f"{file.sha256}.edgelora.incomplete"
    with partial.open("ab") as came:
        _lock(came, tell_waiting)
        if blob.exists():
            partial.unlink(missing_ok=True)
            return
        if came.seek(0, os.SEEK_END) > file.size:  # that one may have brought a part of it meanwhile
            came.truncate(0)
            came.seek(0)
        _require_room(address, blobs, file.size - came.tell())
        url = hf_hub_url(address.repo, path, revision=commit, endpoint=api.endpoint)
        _get(api, url, came, file.size, progress_bar)
        came.flush()
        os.replace(partial, blob)


def _lock(came: BinaryIO, tell_waiting: Callable[[], None]) -> None:
    """Wait until no other process brings the same."""
    patient_until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < patient_until:
        try:
            fcntl.flock(came, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_S)
        else:
            return
    tell_waiting()
    fcntl.flock(came, fcntl.LOCK_EX)


def _get(api: HfApi, url: str, came: BinaryIO, size: int, progress_bar: type[Any]) -> None:
    """Append what is missing of ``size`` bytes; a hub in trouble is asked again after a while."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers

    headers = build_hf_headers(token=api.token, library_name=api.library_name)
    for wait in (*_WAITS, None):
        try:
            http_get(url, came, resume_size=came.tell(), headers=headers, expected_size=size, tqdm_class=progress_bar)
            return
        except HfHubHTTPError as error:
            if wait is None or error.response.status_code < 500:
                raise
            time.sleep(wait)


def _require_room(address: HubAddress, folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted:
        needed, there = (f"{size / 1e6:,.1f} MB" for size in (wanted, free))
        problem = f"{needed} are to come, and {folder} has room for {there}"
        raise ConversionError(str(address), [problem], "Make room, or choose another folder with HF_HOME.")
