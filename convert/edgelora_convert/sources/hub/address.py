"""What people write to name an adapter on the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from edgelora.errors import UsageError
from edgelora_convert.sources.hub.selection import WEIGHTS, WEIGHTS_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_REVISION = "main"
_LINK = re.compile(r"https?:/{1,2}(?:www\.)?(?:huggingface\.co|hf\.co)/")  # one slash is left where it was a Path
_VIEWS = ("tree", "blob", "resolve")
_PART = r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_PART}/{_PART}", re.ASCII)
_REVISION = re.compile(r"\w[\w./-]{0,200}", re.ASCII)
_FILE_ENDINGS = (".gguf", ".safetensors", ".bin", ".json", ".npz", ".pt", ".zip", ".git")


@dataclass(frozen=True)
class HubAddress:
    """A place in a repository: ``subfolder`` is empty for its top, and may also be the path of one file."""

    repo: str
    revision: str = DEFAULT_REVISION
    subfolder: str = ""

    def __str__(self) -> str:
        path = f"{self.repo}/{self.subfolder}" if self.subfolder else self.repo
        return path if self.revision == DEFAULT_REVISION else f"{path} (revision {self.revision})"

    @property
    def name(self) -> str:
        """What an adapter from there is called: the repository's name, and the subfolder's if there is one."""
        last = self.subfolder.rpartition("/")[2]
        inside = last.rpartition(".")[0] if last.endswith(WEIGHTS_ENDINGS) else last
        return "-".join(filter(None, (self.repo.partition("/")[2], inside)))


def parse_address(text: str, revision: str | None = None, subfolder: str | None = None) -> HubAddress | None:
    """The address that ``text`` means, `org/repo` or a link to the hub's pages; None where it cannot be one.

    Repository names follow huggingface_hub/utils/_validators.py, validate_repo_id; one without an owner is none, and
    so is the name of a file. A revision or subfolder given beside a link wins over the link's.
    Raises UsageError for a revision or subfolder that cannot exist.
    """
    link = _LINK.match(text)
    path = text[link.end() :].split("?")[0].strip("/") if link else text
    parts = [unquote(part) if link else part for part in path.split("/")]
    if not _is_repo(repo := "/".join(parts[:2])) or (len(parts) > 2 and not link):
        return None
    in_link = _after_repo(parts[2:])
    return HubAddress(repo, _checked_revision(revision or in_link[0]), _checked_folder(subfolder or in_link[1]))


def _is_repo(repo: str) -> bool:
    return bool(_REPO.fullmatch(repo)) and not any(odd in repo for odd in ("--", "..")) and not _is_file(repo)


def _is_file(repo: str) -> bool:
    return repo.lower().endswith(_FILE_ENDINGS)


def _after_repo(parts: Sequence[str]) -> tuple[str, str]:
    """Revision and path in a link: `tree/REVISION/PATH`."""
    if len(parts) < 2 or parts[0] not in _VIEWS:
        return DEFAULT_REVISION, ""
    is_place = parts[0] == "tree" or (parts[-1].endswith(WEIGHTS_ENDINGS) and parts[-1] not in WEIGHTS)
    return parts[1], "/".join(parts[2:] if is_place else parts[2:-1])


def _checked_revision(revision: str) -> str:
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise UsageError(f"{revision!r} cannot be a revision", "Give a branch, a tag or a commit of the repository.")
    return revision


def _checked_folder(subfolder: str) -> str:
    """Without what does not matter; it becomes part of a local path, so it must stay inside."""
    parts = [part for part in subfolder.split("/") if part not in ("", ".")]
    if ".." in parts or subfolder.startswith("/") or not subfolder.isprintable():
        raise UsageError(f"{subfolder!r} cannot be a folder of a repository", "Give its path from the top, like a/b.")
    return "/".join(parts)
