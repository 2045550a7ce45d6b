"""One repository in the cache that all programs share which use the hub.

Its layout is documented (huggingface.co/docs/huggingface_hub/guides/manage-cache): ``blobs`` holds contents by their
hash, ``snapshots/COMMIT`` links to them by name, ``refs`` says which commit a branch or tag was at.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class RepoCache:
    """The part of the cache in ``root`` that belongs to the model repository ``repo``."""

    root: Path
    repo: str

    @property
    def folder(self) -> Path:
        """Where it is; it need not exist."""
        return self.root / f"models--{self.repo.replace('/', '--')}"

    def snapshot(self, commit: str) -> Path:
        """The folder that looks like the repository at ``commit``, as far as it was downloaded."""
        return self.folder / "snapshots" / commit

    def files(self, commit: str) -> list[str]:
        """Paths of what is in the snapshot, none if there is no such snapshot."""
        top = self.snapshot(commit)
        return [path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()] if commit else []

    def blob(self, digest: str) -> Path:
        """Where a content is once it is complete."""
        return self.folder / "blobs" / digest

    def partial(self, digest: str) -> Path:
        """Where a content is while it comes in; its folder exists."""
        path = self.blob(f"{digest}.incomplete")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def last_commit(self, revision: str) -> str | None:
        """The commit that ``revision`` was at when it was last asked for; None where nobody did."""
        if COMMIT.fullmatch(revision):
            return revision
        try:
            commit = (self.folder / "refs" / revision).read_text("ascii").strip()
        except (OSError, ValueError):
            return None
        return commit if COMMIT.fullmatch(commit) else None

    def remember(self, revision: str, commit: str) -> None:
        """Note that ``revision`` is at ``commit`` now."""
        if revision == commit or self.last_commit(revision) == commit:
            return
        ref = self.folder / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        temporary = ref.with_name(f".{ref.name}.{os.getpid()}.part")
        temporary.write_text(commit, "ascii")
        temporary.replace(ref)

    def link(self, digest: str, commit: str, path: str) -> None:
        """Give a complete content its name in the snapshot."""
        pointer = self.snapshot(commit) / path
        pointer.parent.mkdir(parents=True, exist_ok=True)
        target = os.path.relpath(self.blob(digest), pointer.parent)
        temporary = pointer.with_name(f".{pointer.name}.{os.getpid()}.part")
        temporary.symlink_to(target)
        temporary.replace(pointer)
