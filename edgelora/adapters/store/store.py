"""The library on disk. A change takes effect with one rename, so a killed process leaves the state before or after it.

.library/library.json           the manifest, and library.before.json as it was before the last change
.library/files/SHA256.gguf      the adapters, and SHA256.json the reports of their conversions
.library/incoming/              what is being added
.library/lock                   held while a change is made
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgelora.adapters.store import changes, incoming
from edgelora.adapters.store.locking import holders, locked, sync_folder, unused
from edgelora.adapters.store.manifest import Card, Manifest, NewerFormatError, Version, parse, to_text
from edgelora.errors import AdapterError
from edgelora.gguf.hashes import file_sha256
from edgelora.gguf.replacing import remove_abandoned, replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from edgelora.adapters.store.manifest import Origin

FOLDER = ".library"


@dataclass(frozen=True, slots=True)
class Added:
    """``name`` means version ``number`` now. ``is_new`` unless these bytes were one of its versions before."""

    name: str
    number: int
    sha256: str
    is_new: bool


class AdapterStore:
    """The library inside an adapter folder. Any number of processes may read and change it at once.

    Methods raise AdapterError where the manifest is damaged or the disk does not allow what they do, and what
    :mod:`.changes` raises.
    """

    def __init__(self, adapters: Path) -> None:
        self.folder = adapters / FOLDER
        self._files = self.folder / "files"
        self._manifest = self.folder / "library.json"
        self._before = self.folder / "library.before.json"
        self._lock = self.folder / "lock"
        self._looks = self._look()

    def read(self) -> Manifest:
        """What is in the library now; the empty manifest where there is none yet."""
        try:
            return parse(self._manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if self._before.exists():
                raise self._damaged("is missing") from None
            return Manifest()
        except NewerFormatError as error:
            raise AdapterError(f"{self._manifest}: a later version of edgelora wrote it ({error})", "Update.") from None
        except ValueError as error:
            raise self._damaged(f"is damaged ({error})") from None
        except OSError as error:
            problem = f"{self._manifest}: cannot be read ({error.strerror})"
            raise AdapterError(problem, _elsewhere(self.folder)) from None

    def has_changed(self) -> bool:
        """Whether anybody has changed the library since this was asked the last time, or since the start; cheap."""
        before, self._looks = self._looks, self._look()
        return self._looks != before

    def path(self, sha256: str) -> Path:
        """Where the file of that content is, or would be."""
        return self._files / f"{sha256}.gguf"

    def report(self, sha256: str) -> dict[str, Any] | None:
        """The report of the conversion that made the file (ConversionReport.to_dict), if one did."""
        try:
            found = json.loads(self._report(sha256).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def strays(self) -> tuple[Path, ...]:
        """Files among the adapters that belong to nothing the library knows of."""
        known = self.read().files()
        with suppress(OSError):
            return tuple(path for path in sorted(self._files.iterdir()) if path.name.partition(".")[0] not in known)
        return ()

    # --- changes

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A folder to make a file in that is to be added, on the same disk; gone after the block."""
        with _in_words(self.folder), incoming.incoming(self.folder / "incoming", self._lock) as folder:
            yield folder

    def add(
        self,
        name: str,
        file: Path,
        origin: Origin,
        card: Card = Card(),  # noqa: B008 - a frozen value
        report: Mapping[str, Any] | None = None,
    ) -> Added:
        """Take ``file``, made in :meth:`incoming`, into the library as the current version of ``name``."""
        version = Version(file_sha256(file), file.stat().st_size, origin)
        with self._changing() as manifest:
            made, number, is_new = changes.with_version(manifest, name, version, card)
            if version.sha256 not in manifest.files():
                self._write(replace(manifest, unfinished=(version.sha256,)))
            if not self._is_intact(version.sha256):
                self._place(file, version.sha256, report)
            self._finish(manifest, made)
        return Added(name, number, version.sha256, is_new)

    def pin(self, ref: str) -> None:
        """Make the version that ``ref`` (``legal@2``) means the current one."""
        with self._changing() as manifest:
            self._finish(manifest, changes.pinned(manifest, ref))

    def rollback(self, ref: str) -> int:
        """Make the version current that was so before the present one; its number."""
        with self._changing() as manifest:
            made, number = changes.rolled_back(manifest, ref)
            self._finish(manifest, made)
        return number

    def alias(self, alias: str, ref: str) -> None:
        """Let ``alias`` mean ``ref``, a name or a version of one."""
        with self._changing() as manifest:
            self._finish(manifest, changes.with_alias(manifest, alias, ref))

    def unalias(self, alias: str) -> None:
        """Take an alias away."""
        with self._changing() as manifest:
            self._finish(manifest, changes.without_alias(manifest, alias))

    def remove(self, ref: str) -> None:
        """Remove all versions of a name, or one; also their files, unless another name has the same."""
        with self._changing() as manifest:
            made = changes.without(manifest, ref)
            gone = tuple(manifest.files() - made.files())
            with ExitStack() as stack:
                for sha256 in gone:
                    if not stack.enter_context(unused(self.path(sha256))):
                        raise _in_use(ref, self.path(sha256))
                self._finish(manifest, replace(made, unfinished=gone))
                self._discard(gone)

    @contextmanager
    def _changing(self) -> Iterator[Manifest]:
        """The manifest, for one change at a time; what a killed change has left is removed first."""
        with _in_words(self.folder):
            self._files.mkdir(parents=True, exist_ok=True)
            with locked(self._lock):
                manifest = self.read()
                self._discard(set(manifest.unfinished) - manifest.files())
                for folder in (self.folder, self._files):
                    remove_abandoned(folder)
                incoming.remove_abandoned(self.folder / "incoming")
                yield replace(manifest, unfinished=())

    def _place(self, file: Path, sha256: str, report: Mapping[str, Any] | None) -> None:
        if report is not None:
            with replacing(self._report(sha256)) as temporary:
                temporary.write_text(json.dumps(report), encoding="utf-8")
        with file.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(file, self.path(sha256))
        sync_folder(self._files)

    def _finish(self, before: Manifest, after: Manifest) -> None:
        """The change itself is the last rename in here."""
        with replacing(self._before) as temporary:
            temporary.write_text(to_text(before), encoding="utf-8")
        self._write(after)

    def _write(self, manifest: Manifest) -> None:
        with replacing(self._manifest) as temporary:
            temporary.write_text(to_text(manifest), encoding="utf-8")
        sync_folder(self.folder)

    def _is_intact(self, sha256: str) -> bool:
        path = self.path(sha256)
        return path.is_file() and file_sha256(path) == sha256

    def _discard(self, hashes: Iterable[str]) -> None:
        for sha256 in hashes:
            self.path(sha256).unlink(missing_ok=True)
            self._report(sha256).unlink(missing_ok=True)

    def _report(self, sha256: str) -> Path:
        return self._files / f"{sha256}.json"

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = self._manifest.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _damaged(self, how: str) -> AdapterError:
        if self._before.exists():
            hint = f"This brings back what it was before the last change: cp '{self._before}' '{self._manifest}'"
        else:
            hint = f"Move it away, and add the adapters in {self._files} again: edgelora adapters add FILE --name NAME"
        return AdapterError(f"{self._manifest} {how}; the adapters themselves are untouched", hint)


def _in_use(ref: str, path: Path) -> AdapterError:
    by = ", ".join(map(str, holders(path)))
    return AdapterError(
        f"{ref} is in use{f' by process {by}' if by else ''}", "End the chat or the server that uses it, or wait."
    )


@contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"the library {folder} cannot be changed ({error.strerror or error})"
        raise AdapterError(problem, _elsewhere(folder)) from None


def _elsewhere(folder: Path) -> str:
    return f"The adapter folder is {folder.parent}; EDGELORA_ADAPTERS chooses another."
