"""Content hashes of files, remembered while a file's path, size and time of change stay the same."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from edgelora.gguf.hashes import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class FileHashes:
    """SHA-256 of files, computed once for each (path, size, mtime)."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int, int], str] = {}

    def of_file(self, path: Path) -> str:
        """SHA-256 of the file's bytes, in hexadecimal. Raises GGUFError where it cannot be read."""
        try:
            stat = path.stat()
        except OSError:
            return file_sha256(path)
        key = (path, stat.st_size, stat.st_mtime_ns)
        if key not in self._known:
            self._known[key] = file_sha256(path)
        return self._known[key]

    def of_files(self, paths: Iterable[Path]) -> str:
        """SHA-256 over names and contents of several files, in hexadecimal."""
        listing = "".join(f"{path.name}\0{self.of_file(path)}\n" for path in paths)
        return hashlib.sha256(listing.encode()).hexdigest()
