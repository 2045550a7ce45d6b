"""One file from the hub, in as many attempts as it takes, each one continuing where the last one stopped."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from edgelora_convert.sources.hub.client import HubRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from httpx2 import Response

    from edgelora_convert.sources.hub.client import HubClient, HubFile

ATTEMPTS = 5
"""How often in a row nothing may come before it is given up."""

PAUSE_S = 1.0
"""Before the second attempt; each further one waits that much longer."""


class DamagedDownloadError(Exception):
    """What came is not the file that the hub had announced."""


class BusyDownloadError(Exception):
    """Another process is downloading the same file."""


def download(client: HubClient, url_path: str, file: HubFile, partial: Path, report: Callable[[int], None]) -> None:
    """Complete ``partial`` to the contents of ``file``, and check them; what is there already is not asked for again.

    ``report`` is told how many bytes there are. Raises HubRefusal or httpx2.HTTPError after several attempts,
    DamagedDownloadError, BusyDownloadError, and OSError where it cannot be written. What has come stays for the next
    time unless it is wrong.
    """
    with _alone(partial) as out:
        _receive(client, url_path, file, out, report)
        if _digest(out, file) != file.digest:
            partial.unlink()
            raise DamagedDownloadError


def _receive(client: HubClient, url_path: str, file: HubFile, out: BinaryIO, report: Callable[[int], None]) -> None:
    import httpx2

    failures = 0
    while (have := _length(out)) < file.size:
        report(have)
        try:
            _append(client, url_path, file, out, report)
        except (httpx2.TransportError, HubRefusal) as error:
            failures = 1 if _length(out) > have else failures + 1
            if failures >= ATTEMPTS or (isinstance(error, HubRefusal) and not error.is_transient):
                raise
            time.sleep(PAUSE_S * failures)
    report(file.size)


def _append(client: HubClient, url_path: str, file: HubFile, out: BinaryIO, report: Callable[[int], None]) -> None:
    """Ask for what is missing and write it as it comes. Raises httpx2.RemoteProtocolError where it ends early."""
    import httpx2

    have = _length(out)
    with client.get(url_path, {"Range": f"bytes={have}-"} if have else None) as response:
        have = _start(response, have, out)
        for chunk in response.iter_bytes():
            have += len(chunk)
            if have > file.size:
                out.truncate(0)
                raise DamagedDownloadError
            out.write(chunk)
            out.flush()
            report(have)
    if have < file.size:
        raise httpx2.RemoteProtocolError("the file ended early")


def _start(response: Response, have: int, out: BinaryIO) -> int:
    """Where the answer starts: 206 continues, 200 sends everything again (RFC 9110, 14.2)."""
    if response.status_code != 206:
        out.truncate(0)
        have = 0
    out.seek(have)
    return have


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """``path`` opened for reading and writing, while nobody else has it."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyDownloadError from None
        yield file


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _digest(contents: BinaryIO, file: HubFile) -> str:
    """SHA-256, or what git calls a blob: SHA-1 over a short header and the contents."""
    digest = hashlib.sha256() if file.is_lfs else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    contents.seek(0)
    while block := contents.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
