"""Talking to the hub: huggingface-hub's HTTP session and token, and the two requests a download needs.

The library's own downloader is not used, because since version 2 it throws away what an interrupted download has
received (huggingface_hub/file_download.py, _download_to_tmp_and_move).
"""

from __future__ import annotations

import json
import logging
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edgelora_convert import CONVERTER_VERSION
from edgelora_convert.sources.hub.cache import COMMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from httpx2 import Response

    from edgelora_convert.sources.hub.address import HubAddress

MAX_LISTING_BYTES = 32 * 1024 * 1024
INVALID_TOKEN = "Invalid credentials in Authorization header"
"""The only 401 that is about the token itself (huggingface_hub/utils/_http.py, hf_raise_for_status)."""

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class HubRefusal(Exception):  # noqa: N818, the hub's answer
    """The hub answered, but not with what was asked for. ``code`` is its X-Error-Code, or empty."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def is_transient(self) -> bool:
        """May it be different in a moment?"""
        return self.status in _TRANSIENT


class NotAHub(Exception):  # noqa: N818
    """Something else than a hub answered."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. ``digest`` is its SHA-256 if it is kept in LFS, else git's SHA-1 of it."""

    path: str
    size: int
    digest: str

    @property
    def is_lfs(self) -> bool:
        """Is ``digest`` a SHA-256?"""
        return len(self.digest) == 64


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit, by path."""

    commit: str
    files: Mapping[str, HubFile]


class HubClient:
    """The hub of HF_ENDPOINT, asked with the token of HF_TOKEN or of `hf auth login`."""

    def __init__(self) -> None:
        from huggingface_hub import constants, get_token

        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings would go to the screen
        self.endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        self.timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        self.has_token = bool(token := None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token())
        self._headers = {"User-Agent": f"edgelora-convert/{CONVERTER_VERSION}", "Accept-Encoding": "identity"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[Response]:
        """The answer to a GET, its body still to be read. Raises HubRefusal, and httpx2.HTTPError on the way."""
        from huggingface_hub import get_session

        if not self._headers.get("Authorization", "").isascii():
            raise HubRefusal(401, message=INVALID_TOKEN)
        url, sent = f"{self.endpoint}/{path}", {**self._headers, **(headers or {})}
        with get_session().stream("GET", url, headers=sent, timeout=self.timeout) as response:
            if response.status_code >= 400:
                named = response.headers.get
                raise HubRefusal(response.status_code, named("X-Error-Code", ""), named("X-Error-Message", ""))
            yield response

    def list_files(self, address: HubAddress) -> Listing:
        """The files of a repository at the address's revision. Raises as :meth:`get`, and NotAHub."""
        with self.get(f"api/models/{address.repo}/revision/{quote(address.revision, safe='')}?blobs=true") as response:
            body = b"".join(_at_most(MAX_LISTING_BYTES, response.iter_bytes()))
        return read_listing(body)


def read_listing(body: bytes) -> Listing:
    """The hub's description of a repository (huggingface_hub/hf_api.py, ModelInfo). Raises NotAHub for anything else.

    Files whose names would disturb a terminal are left out; no adapter has such files.
    """
    try:
        answer = json.loads(body)
        files = [_hub_file(entry) for entry in answer["siblings"]]
        if COMMIT.fullmatch(answer["sha"]):
            return Listing(answer["sha"], {file.path: file for file in files if file.path.isprintable()})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        pass
    raise NotAHub


def file_path(repo: str, commit: str, path: str) -> str:
    """Where the hub serves one file."""
    return f"{repo}/resolve/{commit}/{quote(path)}"


def _hub_file(entry: Any) -> HubFile:
    """One of the ``siblings``. Raises ValueError, or what Python raises, for what makes no sense."""
    lfs = entry.get("lfs") or {}
    found = HubFile(str(entry["rfilename"]), int(lfs.get("size", entry["size"])), lfs.get("sha256") or entry["blobId"])
    if not 0 <= found.size < 2**63 or not _DIGEST.fullmatch(found.digest):
        raise ValueError(found.path)
    return found


def _at_most(limit: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > limit:
            raise NotAHub
        yield chunk
