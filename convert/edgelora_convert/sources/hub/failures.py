"""What can go wrong with the hub, in words: one reason, and what to do."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from edgelora.errors import ConversionError

if TYPE_CHECKING:
    from edgelora_convert.sources.hub.address import HubAddress

_AGAIN = "Run the same command again; what has come is not asked for again."
_TOKEN = "With access, make a token at {endpoint}/settings/tokens, and set HF_TOKEN or run `hf auth login`."
_ROOM = f"Make room, or set HF_HOME to a folder on another disk. {_AGAIN}"
_NOT_FOUND = (
    "there is no such folder here, and no repository {repo} on {endpoint}, or {private}",
    f"Check the spelling. {_TOKEN}",
)
_BAD_TOKEN = ("the hub does not accept your token", "Set HF_TOKEN to a valid one, or run `hf auth login`.")
_UNUSABLE = ("{endpoint} cannot be used ({error})", "Check HF_ENDPOINT.")

_BY_STATUS = {
    401: _BAD_TOKEN,
    403: ("the hub does not let you have it", _TOKEN),
    404: _NOT_FOUND,
    429: ("the hub has had too many requests from you", "Wait some minutes. With a token (HF_TOKEN) it allows more."),
}
_BY_CLASS = {
    "OfflineModeIsEnabled": ("HF_HUB_OFFLINE is set", "Unset it once, to download the adapter."),
    "GatedRepoError": (
        "its authors want everyone to accept conditions first (it is gated)",
        f"Accept them at {{endpoint}}/{{repo}}. {_TOKEN}",
    ),
    "RepositoryNotFoundError": _NOT_FOUND,
    "RevisionNotFoundError": (
        "the repository has no revision {revision}",
        "Its branches and tags are listed at {endpoint}/{repo}/tree/main",
    ),
    "EntryNotFoundError": ("a file that the hub listed is gone", "Run the same command again."),
    "HfHubHTTPError": ("the hub has a problem (HTTP {status})", f"Wait a little. {_AGAIN}"),
    "TimeoutException": ("{endpoint} does not answer", f"Check the network. {_AGAIN}"),
    "ConnectError": ("{endpoint} cannot be reached ({error})", "Check the network, and HF_ENDPOINT."),
    "UnsupportedProtocol": _UNUSABLE,
    "TransportError": ("the connection to {endpoint} broke off ({error})", f"Check the network. {_AGAIN}"),
    "InvalidURL": _UNUSABLE,
    "UnicodeEncodeError": _BAD_TOKEN,  # a header cannot carry it
    "UserWarning": ("it does not fit on the disk ({error})", _ROOM),
    "FileMetadataError": ("{endpoint} does not answer like a hub", "Check HF_ENDPOINT."),
    "OSError": ("{where} cannot be written ({error})", "Set HF_HOME to a folder that can be written to."),
    "Exception": (
        "what answered at {endpoint} is no hub",
        "Check HF_ENDPOINT, and whether the network asks for a login.",
    ),
}
"""By names, because the HTTP client and so its errors are httpx's in huggingface-hub 1 and httpx2's in 2."""

_FULL = ("the disk is full ({where})", _ROOM)
_BY_ERRNO: dict[int | None, tuple[str, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    None: ("what came is not as large as the hub had announced", _AGAIN),  # the library's own OSError
}


def is_unreachable(error: Exception) -> bool:
    """Is it the network or the hub itself, so that a copy from before is as good as any?"""
    status = _status(error)
    return status is None or status in (408, 429) or status >= 500


def refusal(address: HubAddress, error: Exception, before: str = "") -> ConversionError:
    """What the library raised, in words; ``before`` is put before the reason."""
    from huggingface_hub import constants, get_token

    source = error.__cause__ if type(error).__name__ == "LocalEntryNotFoundError" and error.__cause__ else error
    facts = {
        "endpoint": constants.ENDPOINT,
        "repo": address.repo,
        "revision": address.revision,
        "private": "this token does not open it" if get_token() else "it is private and there is no token",
        "status": _status(source),
        "where": getattr(source, "filename", None) or "the cache of downloads",
        "error": " ".join(str(source).split()) or type(source).__name__,
    }
    reason, hint = _texts(source)
    return ConversionError(str(address), [before + reason.format_map(facts)], hint.format_map(facts))


def _texts(error: BaseException) -> tuple[str, str]:
    if type(error).__name__ == "HfHubHTTPError" and (texts := _BY_STATUS.get(_status(error) or 0)):
        return texts
    kinds = (kind.__name__ for kind in type(error).__mro__)
    texts = next(_BY_CLASS[kind] for kind in kinds if kind in _BY_CLASS)
    return _BY_ERRNO.get(getattr(error, "errno", None), texts) if texts is _BY_CLASS["OSError"] else texts


def _status(error: BaseException) -> int | None:
    from huggingface_hub.errors import HfHubHTTPError

    return error.response.status_code if isinstance(error, HfHubHTTPError) else None
