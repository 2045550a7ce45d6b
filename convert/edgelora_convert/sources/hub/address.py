"""What people write to name an adapter on the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgelora.errors import UsageError

DEFAULT_REVISION = "main"
_LINK = re.compile(r"https?:/+")  # a Path keeps one slash of two
_FILE_ENDINGS = (".gguf", ".safetensors", ".bin", ".json", ".npz", ".pt", ".zip", ".git")
WEIGHTS_ENDINGS = (".gguf", ".safetensors", ".bin")
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapters.safetensors")
"""The usual names. Of several in a folder, the first one is taken."""


@dataclass(frozen=True)
class HubAddress:
    """A place in a repository: ``subfolder`` is empty for its top, and may also be the path of a weights file."""

    repo: str
    revision: str = DEFAULT_REVISION
    subfolder: str = ""

    def __str__(self) -> str:
        path = f"{self.repo}/{self.subfolder}" if self.subfolder else self.repo
        return path if self.revision == DEFAULT_REVISION else f"{path} (revision {self.revision})"

    @property
    def name(self) -> str:
        """What an adapter from there is called: the repository's name, and the subfolder's if there is one."""
        inside = self.subfolder.rpartition("/")[2]
        stem = inside.rpartition(".")[0] if inside.endswith(WEIGHTS_ENDINGS) else inside
        return "-".join(filter(None, (self.repo.partition("/")[2], stem)))


def parse_address(text: str, revision: str | None = None, subfolder: str | None = None) -> HubAddress | None:
    """The address that ``text`` means, `org/repo` or a link to the hub's pages; None where it cannot be one.

    A name without an owner is none, and so is the name of a file. A revision or subfolder given beside a link wins
    over the link's. Raises UsageError for a revision that git does not allow.
    """
    from huggingface_hub import parse_hf_uri
    from huggingface_hub.errors import HfUriError

    is_link = _LINK.match(text) is not None
    try:
        uri = parse_hf_uri(_LINK.sub("https://", text, count=1) if is_link else f"hf://{text}")
    except HfUriError:
        return None
    if uri.type != "model" or uri.id.endswith(_FILE_ENDINGS) or (text != uri.id and not is_link):
        return None
    place = (subfolder or _place(uri.path_in_repo)).strip("/")
    return HubAddress(uri.id, _checked(revision or uri.revision or DEFAULT_REVISION), place)


def _place(path: str) -> str:
    """What a link to a file is about: the file if it holds weights of their own name, else the folder it is in."""
    folder, _, name = path.rpartition("/")
    is_own = not name.endswith(_FILE_ENDINGS) or (name.endswith(WEIGHTS_ENDINGS) and name not in WEIGHTS)
    return path if is_own else folder


def _checked(revision: str) -> str:
    """It becomes part of a path in the cache."""
    if ".." in revision or revision.startswith(("/", "-")) or not revision.isprintable():
        raise UsageError(f"{revision!r} cannot be a revision", "Give a branch, a tag or a commit of the repository.")
    return revision
