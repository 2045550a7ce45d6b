"""Looks at adapters on disk with one base in mind: what they are, whether they fit, and their GGUF files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgelora.adapters.converted import ConvertedFolder
from edgelora.adapters.convertible import is_adapter_folder, is_converted_on_the_way, shown_name
from edgelora.adapters.entry import AdapterEntry
from edgelora.adapters.hashing import FileHashes
from edgelora.config.locations import is_missing
from edgelora.errors import AdapterError, AdapterMismatchError, ConversionError, EdgeloraError
from edgelora.gguf.facts import AdapterFacts, BaseFacts, names_of
from edgelora.gguf.fit import by_kind, check_fit, require_fit
from edgelora.gguf.model_names import base_name_warning
from edgelora.gguf.reader import read_header
from edgelora.gguf.split import read_joined
from edgelora.types import AdapterFile, ReportProgress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgelora.gguf.header import Header


_MOST_REASONS = 3


class Inspector:
    """Describes adapters for the base at ``base``, also a split one, and converts those that are no GGUF."""

    def __init__(self, base: Path) -> None:
        self._base = read_joined(base)
        BaseFacts.of(self._base)  # says what it is instead, where it is no base
        self._hashes = FileHashes()
        self._converted = ConvertedFolder(base, self._hashes)

    def locate(self, path: Path) -> Path:
        """The absolute path of an adapter that a person gave. Raises AdapterError where there is none."""
        try:
            found = path.expanduser().resolve()
            if not found.exists():
                raise AdapterError(f"{path}: no such file or folder", "Give a GGUF adapter, or a PEFT or MLX folder.")
            if found.is_dir() and not is_adapter_folder(found):
                raise AdapterError(
                    f"{path}: this folder holds no adapter (adapter_config.json is missing)",
                    "Give the folder that PEFT's save_pretrained or mlx-lm wrote, or a GGUF adapter.",
                )
        except (OSError, RuntimeError, ValueError) as error:  # too long a name, the home of nobody, a null byte
            reason = error.strerror if isinstance(error, OSError) else error
            raise AdapterError(f"{str(path)!r} cannot be read ({reason})") from None
        return found

    def inspect(self, path: Path) -> AdapterEntry:
        """The entry of the adapter at ``path``, named after it; a problem with it is part of the entry."""
        try:
            return self._source_entry(path) if is_converted_on_the_way(path) else self._gguf_entry(path, path)
        except ConversionError as error:
            problem = _summary(error.problems)
        except EdgeloraError as error:
            problem = error.message
        size = path.stat().st_size if path.is_file() else 0
        return AdapterEntry(name=shown_name(path), path=path, n_bytes=size, problem=problem)

    def inspect_kept(self, path: Path, sha256: str) -> AdapterEntry:
        """The entry of a GGUF that the library keeps, so that its content is known without reading all of it."""
        try:
            return self._described(path, read_header(path), sha256)
        except EdgeloraError as error:
            problem = "its file is missing from the library; add it again" if is_missing(path) else error.message
            return AdapterEntry(name=path.stem, path=path, sha256=sha256, problem=problem)

    def file(self, entry: AdapterEntry, report: ReportProgress) -> AdapterFile:
        """The GGUF of ``entry``, as it is on disk now; what is no GGUF is converted unless it was before.

        Raises AdapterError, GGUFError or ConversionError.
        """
        if entry.version is not None and entry.sha256:  # the engine looks whether these are still its bytes
            self._require_fit(entry.path, entry.full_name)
            return AdapterFile(entry.full_name, entry.path, entry.sha256)
        on_the_way = is_converted_on_the_way(entry.path)
        path = self._converted.convert(entry.path, report) if on_the_way else entry.path
        self._require_fit(path, f"{entry.name} ('{entry.path}')")
        return AdapterFile(entry.name, path, self._hashes.of_file(path))

    def report(self, path: Path) -> dict[str, Any] | None:
        """The report of the conversion of what is at ``path``, if it was converted on the way."""
        return self._converted.report(path) if is_converted_on_the_way(path) else None

    def _source_entry(self, path: Path) -> AdapterEntry:
        from edgelora_convert.preview import preview

        converted = self._converted.find(path)
        if converted is not None:
            return self._gguf_entry(path, converted)
        seen = preview(path, self._base)
        return AdapterEntry(
            name=shown_name(path),
            path=path,
            rank=seen.rank,
            n_bytes=seen.n_bytes,
            targets=seen.targets,
            example_prompt=seen.example_prompt,
            problem=f"cannot be converted: {_summary(seen.problems)}" if seen.problems else None,
            warning=self._doubt(seen.base_name),
            trained_on=seen.base_name,
        )

    def _gguf_entry(self, path: Path, file: Path) -> AdapterEntry:
        return self._described(path, read_header(file), self._hashes.of_file(file))

    def _described(self, path: Path, header: Header, sha256: str) -> AdapterEntry:
        facts = AdapterFacts.of(header)
        return AdapterEntry(
            name=shown_name(path),
            path=path,
            sha256=sha256,
            rank=facts.max_rank,
            n_bytes=facts.file_size,
            targets=facts.targets,
            example_prompt=facts.example_prompt,
            chat_template=facts.chat_template,
            eos_tokens=facts.eos_tokens,
            system_prompt=facts.system_prompt,
            problem=self._misfit(header),
            warning=self._doubt(facts.base_name),
            trained_on=facts.base_name,
        )

    def _require_fit(self, path: Path, called: str) -> None:
        """As require_fit, but under the name that people know it by, and with few reasons: most misfits have many."""
        try:
            require_fit(read_header(path), self._base)
        except AdapterMismatchError as error:
            listed = "".join(f"\n  - {reason}" for reason in few(error.problems))
            raise AdapterMismatchError(
                f"{called} does not fit the base {self._base.path}:{listed}", error.hint
            ) from None

    def _misfit(self, header: Header) -> str | None:
        problems = by_kind(check_fit(header, self._base))
        return f"does not fit this base: {_summary(problems)}" if problems else None

    def _doubt(self, trained_on: str) -> str | None:
        """Whether its base is another model than this one, as far as names can tell."""
        return base_name_warning(trained_on, names_of(self._base))


def few(reasons: Sequence[str]) -> list[str]:
    """The first of ``reasons``, and how many more there are."""
    more = len(reasons) - _MOST_REASONS
    return [*reasons[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else [])]


def _summary(problems: Sequence[str]) -> str:
    """The first of several problems, and how many there are."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"
