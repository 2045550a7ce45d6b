"""Adapters converted on the way: kept by content, so that the same source and base are converted once."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgelora.config import locations
from edgelora.errors import AdapterError, EdgeloraError
from edgelora.gguf.hashes import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.adapters.hashing import FileHashes
    from edgelora.types import ReportProgress


class ConvertedFolder:
    """GGUF adapters made from PEFT and MLX adapters for one base, in the user's cache."""

    def __init__(self, base: Path, hashes: FileHashes) -> None:
        self._base = base
        self._hashes = hashes

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self._base)

    def find(self, source: Path) -> Path | None:
        """The GGUF that ``source`` was converted to before, for this base and by this converter.

        Raises ConversionError where it holds no adapter, and GGUFError where its files cannot be read.
        """
        path = self._path(source)
        return path if path.is_file() else None

    def convert(self, source: Path, report: ReportProgress) -> Path:
        """The GGUF of ``source``, made now if need be. Raises ConversionError or AdapterError; leaves no half file."""
        from edgelora_convert.convert import convert

        path = self._path(source)
        if not path.is_file():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise AdapterError(f"{path.parent}: cannot be created ({error.strerror})") from None
            made = convert(source, self._base, path, progress=report)
            with suppress(OSError):  # the adapter is there; its report is an extra
                path.with_suffix(".json").write_text(json.dumps(made.to_dict()), encoding="utf-8")
        return path

    def report(self, source: Path) -> dict[str, Any] | None:
        """The report of the conversion of ``source`` (ConversionReport.to_dict), where it was converted before."""
        try:
            found = json.loads(self._path(source).with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError, EdgeloraError):
            return None
        return found if isinstance(found, dict) else None

    def _path(self, source: Path) -> Path:
        from edgelora_convert import CONVERTER_VERSION
        from edgelora_convert.problems import Problems
        from edgelora_convert.sources.read import source_files

        content = self._hashes.of_files(source_files(source, Problems(str(source))))
        key = hashlib.sha256(f"{content}\0{self._fingerprint}\0{CONVERTER_VERSION}".encode()).hexdigest()
        return locations.converted_dir() / f"{key}.gguf"
