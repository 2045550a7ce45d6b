"""What can go wrong with the hub, in words: one reason, and what to do."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import httpx2

from edgelora_convert.sources.hub.client import INVALID_TOKEN, HubRefusal, NotAHub
from edgelora_convert.sources.hub.download import BusyDownloadError, DamagedDownloadError

if TYPE_CHECKING:
    from edgelora_convert.sources.hub.address import HubAddress
    from edgelora_convert.sources.hub.client import HubClient

TALKING = (httpx2.HTTPError, httpx2.InvalidURL, HubRefusal, NotAHub, DamagedDownloadError, BusyDownloadError)
"""What requests and downloads raise, besides OSError."""

_AGAIN = "Run the same command again: it continues where it stopped."
_TOKEN = "With access, make a token at {endpoint}/settings/tokens, and set HF_TOKEN or run `hf auth login`."
_NOT_FOUND = (
    "there is no such folder here, and no repository {repo} on {endpoint}, or {private}",
    f"Check the spelling. {_TOKEN}",
)

_UNUSABLE = ("{endpoint} cannot be used ({error})", "Check HF_ENDPOINT.")

_BY_ERROR: dict[type[Exception], tuple[str, str]] = {
    NotAHub: ("what answered at {endpoint} is no hub", "Check HF_ENDPOINT, and whether the network asks for a login."),
    DamagedDownloadError: (
        "what came is not the file that the hub had announced (its size or checksum differs)",
        "Run the same command again; it starts afresh.",
    ),
    BusyDownloadError: ("another process is downloading it", "Wait for it, then run the same command again."),
    httpx2.TimeoutException: ("{endpoint} does not answer (no byte in {timeout} s)", f"Check the network. {_AGAIN}"),
    httpx2.ConnectError: ("{endpoint} cannot be reached ({error})", "Check the network, and HF_ENDPOINT."),
    httpx2.UnsupportedProtocol: _UNUSABLE,
    httpx2.TransportError: ("the connection to {endpoint} broke off ({error})", f"Check the network. {_AGAIN}"),
    Exception: _UNUSABLE,
}
"""From the special to the general."""

_BY_CODE = {
    "GatedRepo": (
        "its authors want everyone to accept conditions first (it is gated)",
        f"Accept them at {{endpoint}}/{{repo}}. {_TOKEN}",
    ),
    "RevisionNotFound": (
        "the repository has no revision {revision}",
        "Its branches and tags are listed at {endpoint}/{repo}/tree/main",
    ),
    "EntryNotFound": ("a file that the hub listed is gone", "Run the same command again."),
}
"""The hub's own codes (huggingface_hub/utils/_http.py, hf_raise_for_status)."""

_BY_STATUS = {
    401: _NOT_FOUND,  # the hub does not tell strangers what exists
    403: ("the hub does not let you have it", _TOKEN),
    404: _NOT_FOUND,
    429: ("the hub has had too many requests from you", "Wait some minutes. With a token (HF_TOKEN) it allows more."),
}
_BAD_TOKEN = ("the hub does not accept your token", "Set HF_TOKEN to a valid one, or run `hf auth login`.")
_TROUBLE = ("the hub has a problem (HTTP {status})", f"Wait a little. {_AGAIN}")


def is_unreachable(error: Exception) -> bool:
    """Is it the network or the hub itself, so that a copy from before is as good as any?"""
    return not isinstance(error, HubRefusal) or error.is_transient


def explain(error: Exception, client: HubClient, address: HubAddress) -> tuple[str, str]:
    """Reason and hint for one of TALKING, or for an OSError."""
    if isinstance(error, OSError):
        return _not_written(error)
    facts = {
        "endpoint": client.endpoint,
        "timeout": client.timeout,
        "repo": address.repo,
        "revision": address.revision,
        "private": "this token does not open it" if client.has_token else "it is private and there is no token",
        "status": getattr(error, "status", ""),
        "error": " ".join(str(error).split()) or type(error).__name__,
    }
    reason, hint = _texts(error)
    return reason.format_map(facts), hint.format_map(facts)


def _texts(error: Exception) -> tuple[str, str]:
    if not isinstance(error, HubRefusal):
        return next(texts for kind, texts in _BY_ERROR.items() if isinstance(error, kind))
    if error.status == 401 and error.message == INVALID_TOKEN:
        return _BAD_TOKEN
    return _BY_CODE.get(error.code) or _BY_STATUS.get(error.status) or _TROUBLE


def _not_written(error: OSError) -> tuple[str, str]:
    where = error.filename or "the cache of downloads"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({where})", f"Make room, or set HF_HOME to a folder on another disk. {_AGAIN}"
    return f"{where} cannot be written ({error.strerror or error})", "Set HF_HOME to a folder that can be written to."
