"""PEFT folders converted on the way: kept by content, so that the same source and base are converted once."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

from edgelora.adapters.peft_folder import CONFIG
from edgelora.config import locations
from edgelora.errors import AdapterError
from edgelora.gguf.hashes import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.adapters.hashing import FileHashes
    from edgelora.types import ReportProgress


class ConvertedFolder:
    """GGUF adapters made from PEFT folders for one base, in the user's cache."""

    def __init__(self, base: Path, hashes: FileHashes) -> None:
        self._base = base
        self._hashes = hashes

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self._base)

    def find(self, folder: Path) -> Path | None:
        """The GGUF that ``folder`` was converted to before, for this base and by this converter."""
        path = self._path(folder)
        return path if path.is_file() else None

    def convert(self, folder: Path, report: ReportProgress) -> Path:
        """The GGUF of ``folder``, made now if need be. Raises ConversionError or AdapterError; leaves no half file."""
        from edgelora_convert.convert import convert

        path = self._path(folder)
        if not path.is_file():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise AdapterError(f"{path.parent}: cannot be created ({error.strerror})") from None
            convert(folder, self._base, path, progress=report)
        return path

    def _path(self, folder: Path) -> Path:
        from edgelora_convert import CONVERTER_VERSION

        try:
            source = self._hashes.of_source(folder)
        except OSError as error:
            raise AdapterError(f"{folder / CONFIG}: cannot be read ({error.strerror})") from None
        key = hashlib.sha256(f"{source}\0{self._fingerprint}\0{CONVERTER_VERSION}".encode()).hexdigest()
        return locations.converted_dir() / f"{key}.gguf"
