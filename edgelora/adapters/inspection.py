"""Looks at adapters on disk with one base in mind: what they are, whether they fit, and their GGUF files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.adapters.converted import ConvertedFolder
from edgelora.adapters.entry import AdapterEntry
from edgelora.adapters.hashing import FileHashes
from edgelora.adapters.peft_folder import CONFIG, is_peft_folder, peft_facts
from edgelora.errors import AdapterError, EdgeloraError
from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.fit import check_fit, require_fit
from edgelora.gguf.reader import read_header
from edgelora.types import AdapterFile, ReportProgress

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.gguf.header import Header


class Inspector:
    """Describes adapter files and PEFT folders for the base at ``base``, and converts the latter."""

    def __init__(self, base: Path) -> None:
        self._base = read_header(base)
        self._hashes = FileHashes()
        self._converted = ConvertedFolder(base, self._hashes)

    def locate(self, path: Path) -> Path:
        """The absolute path of an adapter that a person gave. Raises AdapterError where there is none."""
        try:
            found = path.expanduser().resolve()
            if not found.exists():
                raise AdapterError(f"{path}: no such file or folder", "Give a GGUF adapter or a PEFT folder.")
            if found.is_dir() and not is_peft_folder(found):
                raise AdapterError(
                    f"{path}: this folder holds no adapter ({CONFIG} is missing)",
                    "Give the folder that PEFT's save_pretrained wrote, or a GGUF adapter.",
                )
        except (OSError, RuntimeError, ValueError) as error:  # too long a name, the home of nobody, a null byte
            reason = error.strerror if isinstance(error, OSError) else error
            raise AdapterError(f"{str(path)!r} cannot be read ({reason})") from None
        return found

    def inspect(self, path: Path) -> AdapterEntry:
        """The entry of the adapter at ``path``, named after it; a problem with it is part of the entry."""
        try:
            return self._peft_entry(path) if path.is_dir() else self._gguf_entry(path, path)
        except EdgeloraError as error:
            size = path.stat().st_size if path.is_file() else 0
            return AdapterEntry(name=path.name, path=path, n_bytes=size, problem=error.message)

    def file(self, entry: AdapterEntry, report: ReportProgress) -> AdapterFile:
        """The GGUF of ``entry``, as it is on disk now; a PEFT folder is converted unless it was before.

        Raises AdapterError, GGUFError or ConversionError.
        """
        path = self._converted.convert(entry.path, report) if entry.path.is_dir() else entry.path
        require_fit(read_header(path), self._base)
        return AdapterFile(entry.name, path, self._hashes.of_file(path))

    def _peft_entry(self, folder: Path) -> AdapterEntry:
        facts = peft_facts(folder)
        converted = self._converted.find(folder)
        if converted is not None:
            return self._gguf_entry(folder, converted)
        return AdapterEntry(
            name=folder.name, path=folder, rank=facts.rank, n_bytes=facts.n_bytes, targets=facts.targets
        )

    def _gguf_entry(self, path: Path, file: Path) -> AdapterEntry:
        header = read_header(file)
        facts = AdapterFacts.of(header)
        return AdapterEntry(
            name=path.name if path.is_dir() else path.stem,
            path=path,
            sha256=self._hashes.of_file(file),
            rank=facts.max_rank,
            n_bytes=facts.file_size,
            targets=facts.targets,
            example_prompt=facts.example_prompt,
            chat_template=facts.chat_template,
            problem=self._misfit(header),
        )

    def _misfit(self, header: Header) -> str | None:
        problems = check_fit(header, self._base)
        if not problems:
            return None
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return f"does not fit this base: {problems[0]}{more}"
